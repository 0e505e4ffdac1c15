"What the measurements of the page share: the pages to compare, each on a server of its own, and a real browser that looks at them."
import contextlib, io, json, os, socket, subprocess, sys, time, urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]/'tests'))
ROOT = Path(__file__).parents[1]
PATIENCE = 120_000 # Milliseconds

# The page of 2021, as in the first half of lesson 06
SEED = '''from fastai.vision.all import *
from fastai.vision.widgets import *
learn_inf = load_learner('eyewear-inf.pkl')
btn_run, lbl_pred, btn_upload, out_pl = widgets.Button(description='Classify'), widgets.Label(), widgets.FileUpload(), widgets.Output()
def on_click_classify(change):
    img = PILImage.create(btn_upload.data[-1])
    out_pl.clear_output()
    with out_pl: display(img.to_thumb(128,128))
    pred,pred_idx,probs = learn_inf.predict(img)
    lbl_pred.value = f'Prediction: {pred}; Probability: {probs[pred_idx]:.04f}'
btn_run.on_click(on_click_classify)
VBox([widgets.Label('Glasses?'), btn_upload, btn_run, out_pl, lbl_pred])'''
EMPTY = "import ipywidgets\nipywidgets.Button(description='Classify')"
GRADIO = '''import sys, gradio as gr
from eyewear.predict import Classifier
clf = Classifier(sys.argv[1])
def ask(photo): return clf(photo).probs
with gr.Blocks() as page:
    photo, out = gr.Image(type='filepath', sources=['upload'], label='Photo'), gr.Label()
    photo.upload(ask, photo, out)
page.launch(server_name='127.0.0.1', server_port=int(sys.argv[2]))'''

def make_files(home):
    "A model in seconds, from few drawn portraits: the two files that the pages need lie in `home` afterwards"
    os.environ.update(EYEWEAR_HOME=str(home), EYEWEAR_SOURCE='practice', EYEWEAR_LIMIT='20')
    from fastai.vision.all import resnet18, vision_learner
    from eyewear.model.backbone import get_backbone
    from eyewear.clean import load_clean
    from eyewear.export import export_onnx
    from eyewear.train import get_dls, save_model, train
    ds = load_clean()
    learn = train(ds, 'tf_efficientnet_lite0', how='head')
    save_model(learn, 'after')
    model = export_onnx(learn, ds)
    seed = vision_learner(get_dls(ds, get_backbone('tf_efficientnet_lite0')), resnet18, pretrained=False) # The seed's; its answers do not matter here
    seed.export(Path(home)/'eyewear-inf.pkl')
    for name, code in dict(seed=SEED, empty=EMPTY).items(): (Path(home)/f'{name}.ipynb').write_text(json.dumps(notebook(code)))
    return model

def notebook(code):
    cell = dict(cell_type='code', id='a', metadata={}, source=code, outputs=[], execution_count=None)
    return dict(cells=[cell], nbformat=4, nbformat_minor=5, metadata=dict(kernelspec=dict(name='python3', display_name='python3', language='python')))

def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]

def commands(home, model):
    "name -> the command that serves this page at a port"
    voila = lambda name: lambda port: [sys.executable, '-m', 'voila', str(home/f'{name}.ipynb'), '--no-browser', f'--port={port}', '--Voila.log_level=ERROR']
    app = lambda *more: lambda port: [str(Path(sys.executable).with_name('eyewear-app')), '--model', str(model), '--port', str(port), *more]
    return {"the seed's": voila('seed'), 'empty page': voila('empty'), 'eyewear, cold': app('--pool', '0'), 'eyewear': app()}

def gradio(home, model):
    "The command that serves the same model by Gradio, in an environment of its own; None and a line where that cannot be made"
    env, uv = home/'gradio', str(Path(sys.executable).with_name('uv'))
    for cmd in ([uv, 'venv', '-q', '--python', sys.executable, str(env)],
                [uv, 'pip', 'install', '-q', '--python', str(env/'bin'/'python'), 'gradio>=6', '.']):
        if subprocess.run(cmd, cwd=ROOT).returncode: return print('Gradio: not measured here, its environment cannot be made')
    (home/'gradio_app.py').write_text(GRADIO)
    return lambda port: [str(env/'bin'/'python'), str(home/'gradio_app.py'), str(model), str(port)]

@contextlib.contextmanager
def served(command, home):
    "The address of the page that `command` serves, once it answers, and the process"
    port = free_port()
    url, end = f'http://127.0.0.1:{port}/', time.monotonic()+PATIENCE/1000
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'} | dict(PYTHONPATH=os.environ.get('PYTHONPATH', ''), GRADIO_ANALYTICS_ENABLED='False')
    proc = subprocess.Popen(command(port), cwd=home, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try: socket.create_connection(('127.0.0.1', port), 1).close(); break
            except OSError:
                if proc.poll() is not None or time.monotonic() > end: raise SystemExit(f'{command(port)[0]} did not start')
                time.sleep(.2)
        time.sleep(8) # What starts ahead has started
        yield url, proc
    finally:
        proc.terminate()
        try: proc.wait(20)
        except subprocess.TimeoutExpired: proc.kill()

@contextlib.contextmanager
def browser():
    "Chromium, headless"
    from conftest import HUSH, find_chromium
    from playwright.sync_api import sync_playwright
    path, tried = find_chromium()
    if not path: raise SystemExit(f'no Chromium: {"; ".join(tried)}')
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=path, args=HUSH)
        yield b
        b.close()

def wait(there):
    "Return when `there()` is true, asked every 10 ms: Playwright's own `wait_for` looks after .02, .07, .17, .27 and then every .5 s"
    end = time.monotonic()+PATIENCE/1000
    while not there():
        if time.monotonic() > end: raise SystemExit(f'it did not come in {PATIENCE/1000:.0f} s')
        time.sleep(.01)

def ready(page, name):
    "Wait until the page called `name` can be used"
    wait(page.locator('input[type=file]').first.count if name == 'Gradio' else page.get_by_role('button', name='Classify').is_visible)

def jpeg(width, height, quality, seed=0):
    "A drawn portrait with camera noise, as the bytes of a JPEG"
    import numpy as np
    from PIL import Image
    from eyewear.data.practice import try_portraits
    img = np.asarray(try_portraits(1, seed, ['sunglasses'])[0][1].convert('RGB').resize((width, height))).astype('int16')
    img += np.random.default_rng(seed).integers(-12, 13, img.shape, dtype='int16')
    out = io.BytesIO()
    Image.fromarray(img.clip(0, 255).astype('uint8')).save(out, 'JPEG', quality=quality)
    return out.getvalue()
