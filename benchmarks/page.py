"""The page in real Chromium, beside the page of 2021 (fastai, `load_learner`), an empty Voila page and Gradio over the same model file.

python benchmarks/page.py [open] [answer] [visitors] [right]: some of its four parts, or all of them.
open: from the address to a page that can be used, ROUNDS (5) times; the seed's page twice, for it takes long.
answer: from choosing a photo to its answer, ROUNDS (7) photos of 12 megapixels; the page of 2021 with 3 MB, of more it says nothing.
visitors: memory (PSS) of a kernel after an answer; then VISITORS (20) at once, each with 5 photos of their own.
right: of five drawn portraits a label that no training saw, how many does the page of the newest model get right?"""
import contextlib, io, json, os, re, socket, statistics, subprocess, sys, tempfile, time
from collections import Counter
from pathlib import Path
import psutil
from _report import report

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'tests'))
ROUNDS = os.environ.get('ROUNDS')
VISITORS = int(os.environ.get('VISITORS', 20))
PHOTOS = 5                                                           # Of each visitor
PATIENCE = 120                                                       # Seconds
VIEW = dict(width=1100, height=900)
SEED, OURS, COLD, EMPTY = "the seed's", 'eyewear', 'eyewear, cold', 'empty page'

# The page of 2021, as in the first half of lesson 06
SEED_CODE = '''from fastai.vision.all import *
from fastai.vision.widgets import *
learn_inf = load_learner('eyewear-inf.pkl')
btn_run = widgets.Button(description='Classify')
lbl_pred = widgets.Label()
btn_upload = widgets.FileUpload()
out_pl = widgets.Output()
def on_click_classify(change):
    img = PILImage.create(btn_upload.data[-1])
    out_pl.clear_output()
    with out_pl: display(img.to_thumb(128,128))
    pred,pred_idx,probs = learn_inf.predict(img)
    lbl_pred.value = f'Prediction: {pred}; Probability: {probs[pred_idx]:.04f}'
btn_run.on_click(on_click_classify)
VBox([widgets.Label('Glasses?'), btn_upload, btn_run, out_pl, lbl_pred])'''
EMPTY_CODE = "import ipywidgets\nipywidgets.Button(description='Classify')"
GRADIO_CODE = '''import sys, gradio as gr
from eyewear.predict import Classifier
clf = Classifier(sys.argv[1])
def ask(photo): return clf(photo).probs
with gr.Blocks() as page:
    photo = gr.Image(type='filepath', sources=['upload'], label='Photo')
    out = gr.Label()
    photo.upload(ask, photo, out)
page.launch(server_name='127.0.0.1', server_port=int(sys.argv[2]))'''

# -- The pages to compare, each on a server of its own

def write_notebook(path, code):
    cell = dict(cell_type='code', id='a', metadata={}, source=code, outputs=[], execution_count=None)
    kernel = dict(name='python3', display_name='python3', language='python')
    path.write_text(json.dumps(dict(cells=[cell], nbformat=4, nbformat_minor=5, metadata=dict(kernelspec=kernel))))

def make_model(home):
    "A model in seconds, from few drawn portraits; beside it what the page of 2021 opens"
    os.environ.update(EYEWEAR_HOME=str(home), EYEWEAR_SOURCE='practice', EYEWEAR_LIMIT='20')
    from fastai.vision.all import resnet18, vision_learner
    from eyewear.clean import load_clean
    from eyewear.export import export_onnx
    from eyewear.model.backbone import get_backbone
    from eyewear.model.training import get_dls
    from eyewear.train import save_model, train
    ds = load_clean()
    learn = train(ds, 'tf_efficientnet_lite0', how='head')
    save_model(learn, 'after')
    dls = get_dls(ds, get_backbone('tf_efficientnet_lite0'))
    vision_learner(dls, resnet18, pretrained=False).export(home/'eyewear-inf.pkl') # The seed's; its answers do not matter here
    return export_onnx(learn, ds)

def ours(model, *options):
    "The command that serves our page of a model at a port"
    script = str(Path(sys.executable).with_name('eyewear-app'))
    return lambda port: [script, '--model', str(model), '--port', str(port), *options]

def voila(home, name, code):
    "The command that serves a notebook by plain Voila at a port"
    path = home/f'{name}.ipynb'
    write_notebook(path, code)
    return lambda port: [sys.executable, '-m', 'voila', str(path), '--no-browser', f'--port={port}', '--Voila.log_level=ERROR']

def gradio(home, model):
    "The command that serves the same model by Gradio, in an environment of its own; None and a line where that cannot be made"
    env = home/'gradio'
    python = str(env/'bin'/'python')
    uv = str(Path(sys.executable).with_name('uv'))
    install = [uv, 'pip', 'install', '-q', '--python', python, 'gradio>=6', '.']
    for cmd in ([uv, 'venv', '-q', '--python', sys.executable, str(env)], install):
        if subprocess.run(cmd, cwd=ROOT).returncode: return print('Gradio: not measured here, its environment cannot be made')
    script = home/'gradio_app.py'
    script.write_text(GRADIO_CODE)
    return lambda port: [python, str(script), str(model), str(port)]

def pages(home, model):
    "Name -> the command that serves this page at a port"
    out = {SEED: voila(home, 'seed', SEED_CODE), EMPTY: voila(home, 'empty', EMPTY_CODE), COLD: ours(model, '--pool', '0'), OURS: ours(model)}
    if command := gradio(home, model): out['Gradio'] = command
    return out

def wait(is_true, pause=.01):
    "Return when `is_true()`: Playwright's own `wait_for` looks after .02, .07, .17, .27 and then every .5 s"
    end = time.monotonic()+PATIENCE
    while not is_true():
        if time.monotonic() > end: raise SystemExit(f'it did not come in {PATIENCE} s')
        time.sleep(pause)

@contextlib.contextmanager
def served(command, home):
    "The address of the page that `command` serves, once it answers, and the process"
    from eyewear.page.launch import free_port, stop_server
    port = free_port(0)
    env = os.environ | dict(GRADIO_ANALYTICS_ENABLED='False')
    quiet = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    proc = subprocess.Popen(command(port), cwd=home, env=env, **quiet)
    def answers():
        if proc.poll() is not None: raise SystemExit(f'{command(port)[0]} did not start')
        with socket.socket() as s: return s.connect_ex(('127.0.0.1', port)) == 0
    try:
        wait(answers, .2)
        time.sleep(8)                                                # What starts ahead has started
        yield f'http://127.0.0.1:{port}/', proc
    finally: stop_server(proc, 20)

# -- In the browser

@contextlib.contextmanager
def chromium():
    "Chromium, headless"
    from conftest import HUSH, find_chromium
    from playwright.sync_api import sync_playwright
    path, tried = find_chromium()
    if not path: raise SystemExit(f'no Chromium: {"; ".join(tried)}')
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=HUSH)
        yield browser
        browser.close()

def is_ready(page, name):
    "Can the page called `name` be used?"
    if name == 'Gradio': return page.locator('input[type=file]').first.count()
    return page.get_by_role('button', name='Classify').is_visible()

@contextlib.contextmanager
def opened(browser, url, name):
    "A page that is ready, and how many seconds that took"
    page = browser.new_page(viewport=VIEW)
    start = time.perf_counter()
    page.goto(url, timeout=PATIENCE*1000, wait_until='commit')
    wait(lambda: is_ready(page, name))
    yield page, time.perf_counter()-start
    page.close()

def jpeg(width, height, quality, seed=0):
    "A drawn portrait with camera noise, as the bytes of a JPEG"
    import numpy as np
    from PIL import Image
    from eyewear.data.practice import try_portraits
    [(_, portrait)] = try_portraits(1, seed, ['sunglasses'])
    pixels = np.asarray(portrait.convert('RGB').resize((width, height))).astype('int16')
    pixels += np.random.default_rng(seed).integers(-12, 13, pixels.shape, dtype='int16')
    out = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype('uint8')).save(out, 'JPEG', quality=quality)
    return out.getvalue()

def write_photos(home, name, n, *size, seed=0):
    "Files of `n` photos, all different"
    files = [home/f'{name}_{i}.jpg' for i in range(n)]
    for i, f in enumerate(files): f.write_bytes(jpeg(*size, seed=seed+i))
    return files

def choose(page, button, path):
    "Choose the photo at `path`; the moment at which it was chosen"
    with page.expect_file_chooser() as chooser: button.click()
    start = time.perf_counter()
    chooser.value.set_files(path)
    return start

def choose_ours(page, path): return choose(page, page.locator('.ed-area'), path)

def shown(page, path):
    "Wait until our page shows the answer to the photo at `path`, and read it"
    wait(page.locator('.ea-result > img').and_(page.get_by_alt_text(path.name, exact=True)).is_visible)
    return re.match('Prediction: (.+); Probability', page.locator('.ea-answer').inner_text())[1]

def answer(page, name, path):
    "Choose the photo at `path`; seconds until its answer is there"
    if name == 'Gradio':
        start = time.perf_counter()
        page.locator('input[type=file]').first.set_input_files(path)
        wait(page.locator('.output-class, [data-testid=label-output-value]').first.is_visible)
    elif name == SEED:
        start = choose(page, page.get_by_role('button', name='Upload'), path)
        wait(page.get_by_role('button', name='Upload (1)').is_visible)
        page.get_by_role('button', name='Classify').click()
        wait(page.get_by_text('Prediction: ').is_visible)
    else:
        start = choose_ours(page, path)
        shown(page, path)
    return time.perf_counter()-start

# -- The four parts

def measure_open(browser, home, sites):
    rounds = int(ROUNDS or 5)
    rows = []
    for name, command in sites.items():
        seconds = []
        with served(command, home) as (url, _):
            for i in range(min(2, rounds) if name == SEED else rounds):
                with opened(browser, url, name) as (_, took): seconds.append(took)
                time.sleep(4)                                        # A kernel started ahead is there again
        p50 = round(statistics.median(seconds), 2)
        rows.append(dict(page=name, p50=p50, least=round(min(seconds), 2), most=round(max(seconds), 2), n=len(seconds)))
    at = {r['page']: r['p50'] for r in rows}
    is_cold_fast = at[COLD]*5 <= at[SEED] and at[COLD] <= 1.3*at[EMPTY]
    is_ahead_fast = at[OURS] <= .6*at[EMPTY] and at[OURS] <= at.get('Gradio', 99)
    report('page_open', rows, unit='seconds', cold_times_as_fast_as_the_seed=round(at[SEED]/at[COLD], 1),
        cold_against_empty=round(at[COLD]/at[EMPTY], 2), started_ahead_against_empty=round(at[OURS]/at[EMPTY], 2),
        goal="cold: 5 times as fast as the seed's, within 1.3 of the empty page; started ahead: .6 of the empty page, no later than Gradio",
        met=is_cold_fast and is_ahead_fast)

def measure_answer(browser, home, sites):
    n = int(ROUNDS or 7)
    large = write_photos(home, 'large', n, 4000, 3000, 96)
    small = write_photos(home, 'small', n, 4000, 3000, 91)
    rows = []
    for name in (SEED, OURS, 'Gradio'):
        if name not in sites: continue
        files = small if name == SEED else large
        seconds = []
        with served(sites[name], home) as (url, _):
            for f in files: # A fresh page for each: an answer that is there already could be taken for the next
                with opened(browser, url, name) as (page, _): seconds.append(answer(page, name, f))
        mb = sum(f.stat().st_size for f in files)/1e6/n
        p50 = round(statistics.median(seconds), 2)
        rows.append(dict(page=name, photo=f'12 megapixels, {mb:.1f} MB', p50=p50, most=round(max(seconds), 2), n=n))
    at = {r['page']: r['p50'] for r in rows}
    met = at[OURS] <= 1 and 3*at[OURS] <= at[SEED] and 2*at[OURS] <= at.get('Gradio', 99)
    report('page_answer', rows, unit='seconds', met=met,
        goal="p50 at most 1.0 s, 3 times as fast as the seed's way with a 3 MB photo, twice as fast as Gradio")

def family(proc): return [psutil.Process(proc.pid), *psutil.Process(proc.pid).children(recursive=True)]
def kernels(proc): return [o for o in family(proc) if 'ipykernel' in ' '.join(o.cmdline())]
def mib(procs): return sum(o.memory_full_info().pss for o in procs)/2**20

def mib_of_one(browser, home, command, name, photo):
    "MiB of the kernel that has just given an answer"
    with served(command, home) as (url, proc), opened(browser, url, name) as (page, _):
        answer(page, name, photo)
        return round(max(mib([o]) for o in kernels(proc)))

def crowd(browser, home, command, clf):
    "VISITORS come at the same moment, then send photo after photo in turn"
    files = [write_photos(home, f'visitor{v}', PHOTOS, 800, 600, 90, seed=100+v*PHOTOS) for v in range(VISITORS)]
    waits = []
    wrong = 0
    with served(command, home) as (url, proc):
        before = mib(family(proc))
        start = time.perf_counter()
        tabs = [browser.new_context(viewport=VIEW).new_page() for _ in range(VISITORS)]
        for page in tabs: page.goto(url, timeout=PATIENCE*1000, wait_until='commit')
        for page in tabs: wait(lambda: is_ready(page, OURS))
        up = time.perf_counter()-start
        for i in range(PHOTOS):
            begun = [choose_ours(page, own[i]) for page, own in zip(tabs, files)]
            for page, own, chosen_at in zip(tabs, files, begun):
                said = shown(page, own[i])
                waits.append(time.perf_counter()-chosen_at)
                wrong += said != clf(own[i]).label
        meanwhile = mib(family(proc))
        for page in tabs: page.context.close()
        end = time.monotonic()+180                                   # A page that went without a goodbye keeps its place for a minute
        while len(kernels(proc)) > 1 and time.monotonic() < end: time.sleep(1)
        time.sleep(5)
        return dict(visitors=VISITORS, answers=len(waits), wrong=wrong, seconds_until_all_are_up=round(up, 1),
            longest_wait=round(max(waits), 2), mib_before=round(before), mib_meanwhile=round(meanwhile),
            mib_after=round(mib(family(proc))), kernels_left=len(kernels(proc)))

def measure_visitors(browser, home, sites, model):
    from eyewear.predict import Classifier
    [photo] = write_photos(home, 'photo', 1, 2400, 1800, 93)
    one = {name: mib_of_one(browser, home, sites[name], name, photo) for name in (SEED, OURS)}
    many = crowd(browser, home, sites[OURS], Classifier(model))
    share = one[OURS]/one[SEED]
    met = share <= .25 and not many['wrong'] and many['longest_wait'] <= 5 and many['mib_after'] <= many['mib_before']*1.2
    report('page_visitors', [many], mib_a_visitor=one, share_of_the_seed=round(share, 3), met=met,
        goal="a quarter of the seed's memory a visitor; all answers right, none waits over 5 s once the page is up, memory back afterwards")

def measure_right(browser, home, newest):
    from eyewear.data.practice import try_portraits
    with served(ours(newest), home) as (url, _), opened(browser, url, OURS) as (page, _):
        mixed_up = Counter()
        portraits = try_portraits(5)
        for i, (label, img) in enumerate(portraits):
            path = home/f'portrait_{i}.jpg'
            img.save(path, quality=90)
            choose_ours(page, path)
            said = shown(page, path)
            if said != label: mixed_up[label, said] += 1
    print(f'{len(portraits)-mixed_up.total()} of {len(portraits)} right', *(f'{a} taken for {b}' for a, b in mixed_up), sep='; ')

def newest_model():
    "The newest model of the reader's; None and a line where there is none"
    from eyewear.predict import ModelError, find_model
    try: return find_model()
    except ModelError as e: print(f'right: left out, {e}')

def main():
    parts = sys.argv[1:] or ['open', 'answer', 'visitors', 'right']
    newest = newest_model() if 'right' in parts else None            # Before `make_model` sets another home
    with tempfile.TemporaryDirectory() as tmp, chromium() as browser:
        home = Path(tmp)
        if newest: measure_right(browser, home, newest)
        if not {'open', 'answer', 'visitors'} & set(parts): return
        model = make_model(home)
        sites = pages(home, model)
        if 'open' in parts: measure_open(browser, home, sites)
        if 'answer' in parts: measure_answer(browser, home, sites)
        if 'visitors' in parts: measure_visitors(browser, home, sites, model)

if __name__ == '__main__': main()
