"Every host's files, tried by a stand-in: a fresh folder, a fresh environment, a portrait through a real browser. And a model by address."
import hashlib, http.server, json, os, re, shutil, signal, socket, subprocess, sys, threading, time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.request import ProxyHandler, build_opener
import pytest, yaml
from eyewear import fetchmodel
from eyewear.core import ModelError
from eyewear.predict import Classifier, find_model
from eyewear.serve import free_port
from test_repo import ROOT, copy, text
from tinymodel import tiny_model

pytestmark = pytest.mark.skipif(os.name != 'posix', reason='hosts are Linux')
get = build_opener(ProxyHandler({})).open

def ask(page, file):
    "Give the page a photo; label and probability that it answers with. No other place here knows the buttons of the page"
    page.get_by_role('button', name='Classify').wait_for(timeout=120_000)
    with page.expect_file_chooser() as fc: page.get_by_role('button', name=re.compile('Upload|photo', re.I)).first.click()
    fc.value.set_files(file)
    page.locator('img[src^="data:"], img[src^="blob:"]').first.wait_for(timeout=60_000)
    page.get_by_role('button', name='Classify').click()
    said = page.get_by_text(re.compile(r'^Prediction: .+; Probability: [\d.]+')).first
    said.wait_for(timeout=60_000)
    return re.match(r'Prediction: (.+); Probability: ([\d.]+)', said.inner_text()).groups()

# -- What all share: a model, a portrait, an environment

@pytest.fixture(scope='module')
def place(tmp_path_factory): return tmp_path_factory.mktemp('deploy')

@pytest.fixture(scope='module')
def model(place): return tiny_model(place/'eyewear.onnx')

@pytest.fixture(scope='module')
def portrait(place):
    "A drawn portrait that no training saw"
    from eyewear.practice import try_portraits
    [(_, img)] = try_portraits(1, labels=['sunglasses'])
    img.save(place/'portrait.png')
    return place/'portrait.png'

@pytest.fixture(scope='module')
def answers(browser, model, portrait):
    "Open an address, ask about the portrait, compare with what the model says"
    want = Classifier(model)(portrait)
    def check(url):
        page = browser.new_page()
        page.goto(url)
        label, prob = ask(page, portrait)
        page.close()
        assert label == want.label and float(prob) == pytest.approx(want.prob, abs=.02)
    return check

def bare(**kw):
    "The environment of this process without what would lead back to this checkout"
    return {k: v for k, v in os.environ.items() if not k.startswith(('EYEWEAR_', 'JUPYTER_')) and k not in ('PYTHONPATH', 'PORT')} | kw

PIP = '''#!/bin/sh
# uv in the place of pip: as fast as its cache
for o; do shift; [ "$o" = --no-cache-dir ] || set -- "$@" "$o"; done
exec "{uv}" pip "$@"
'''

@pytest.fixture(scope='module')
def venv(place):
    "The one fresh environment of this file, empty at first; in it `pip` is uv"
    uv, path = Path(sys.executable).parent/'uv', place/'venv'
    if not uv.exists(): pytest.skip('uv is not installed: pip install eyewear[dev]')
    subprocess.run([uv, 'venv', '-q', '--python', sys.executable, path], check=True)
    (path/'bin'/'pip').write_text(PIP.format(uv=uv))
    (path/'bin'/'pip').chmod(0o755)
    return dict(VIRTUAL_ENV=str(path), PATH=f'{path}/bin:{os.environ["PATH"]}', HOME=str(place))

# -- A Dockerfile without Docker

def steps(file):
    "Instruction and argument of each step of a Dockerfile"
    lines = [l for l in file.read_text().replace('\\\n', ' ').splitlines() if l.strip() and not l.startswith('#')]
    return [l.split(None, 1) for l in lines]

def copied(src, dst):
    "COPY of one thing: a folder's content, a file into a folder"
    if src.is_dir(): return shutil.copytree(src, dst, dirs_exist_ok=True)
    dst.mkdir(parents=True, exist_ok=True)
    shutil.copy(src, dst)

def build(context, root, venv, **args):
    "Carry out the Dockerfile of `context` below the folder `root`; what needs the system's administrator is passed over aloud"
    image = SimpleNamespace(cwd=root, env=bare(**venv), args=args, log='', rc=0)
    def sh(cmd): return subprocess.run(['sh', '-c', cmd], cwd=image.cwd, env=image.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for do, arg in steps(context/'Dockerfile'):
        if do == 'WORKDIR':
            image.cwd = root/arg.lstrip('/')
            image.cwd.mkdir(parents=True)
        elif do == 'COPY':
            *src, dst = arg.split()
            for o in src: copied(context/o, image.cwd/dst)
        elif do == 'ARG': image.env[arg] = args.get(arg, '')
        elif do == 'ENV':
            for k, v in re.findall(r'(\w+)=(\S*)', arg): image.env[k] = re.sub(r'\$(\w+)', lambda m: image.env[m[1]], v).replace('/home/', f'{root}/home/')
        elif do == 'RUN' and 'useradd' in arg:
            print(f'passed over, needs root: {arg}', file=sys.__stderr__)
            (root/'home'/arg.split()[-1]).mkdir(parents=True)
        elif do == 'RUN':
            res = sh(arg)
            image.log, image.rc = res.stdout, res.returncode
            if image.rc: return image
        elif do == 'CMD': image.cmd = json.loads(arg)
        elif do == 'HEALTHCHECK': image.healthy = lambda cmd=arg.split('CMD ', 1)[1]: sh(cmd).returncode == 0
        else: assert do in ('FROM', 'USER', 'EXPOSE'), f'a step that this stand-in does not know: {do}'
    return image

@contextmanager
def running(cmd, cwd, env, url):
    "The start line of a host, from the moment that `url` answers; ended with the signal that hosts send"
    log = cwd.parent/f'{cwd.name}-{time.monotonic_ns()}.log'
    with open(log, 'w') as f: proc = subprocess.Popen(cmd, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=f, stderr=f, start_new_session=True)
    try:
        end = time.monotonic()+120
        while True:
            assert proc.poll() is None, log.read_text()
            try: get(url, timeout=60).close(); break
            except OSError as e: assert time.monotonic() < end, f'{e}: {log.read_text()}'
            time.sleep(.2)
        yield proc
    finally:
        proc.terminate()
        try: proc.wait(30)
        except subprocess.TimeoutExpired: os.killpg(proc.pid, signal.SIGKILL)

def checkout(to, model=None):
    "A reader's own copy of the repository, with the model that they committed"
    copy(to)
    (to/'deploy'/'eyewear.onnx').unlink(missing_ok=True)
    if model: shutil.copy(model, to/'deploy'/'eyewear.onnx')
    return to

def static(url): return url+'voila/templates/base/static/voila.js'

@pytest.fixture(scope='module')
def image(place, model, venv):
    "The image of a copy with a model"
    image = build(checkout(place/'docker', model), place/'image', venv)
    assert image.rc == 0, image.log
    return image

# -- Docker, and hosts that read a Dockerfile or a Procfile

def test_image_is_light_and_checked(image, venv):
    assert image.log.strip() == f"{image.cwd/'deploy'/'eyewear.onnx'} answers: glasses, sunglasses, VR, none"
    assert not (image.cwd/'eyewear').exists() and (image.cwd/'deploy'/'README.md').exists()
    there = {o.name.split('-')[0] for o in Path(venv['VIRTUAL_ENV']).glob('lib/*/site-packages/*.dist-info')}
    assert {'eyewear', 'voila'} <= there and not {'torch', 'fastai', 'jupyterlab', 'dicebear_core'} & there

def test_docker(image, answers):
    image.env['PORT'] = port = str(free_port(0))
    url = f'http://127.0.0.1:{port}/'
    assert not image.healthy()
    with running(image.cmd, image.cwd, image.env, static(url)):
        assert image.healthy()
        answers(url)

def test_build_and_start_without_a_model_end_in_a_sentence(place, venv):
    image = build(checkout(place/'nothing'), place/'empty', venv)
    why = 'eyewear: there is no model yet: '
    assert image.rc == 1 and image.log.startswith(why) and 'eyewear-export --to deploy' in image.log and image.log.count('\n') == 1
    res = subprocess.run(['eyewear-app', '--port', '0'], cwd=image.cwd, env=image.env, capture_output=True, text=True)
    assert res.returncode == 2 and res.stderr == image.log and not res.stdout

def test_procfile(image, answers, place, model, venv):
    "Such a host installs requirements.txt, as the Dockerfile does, and runs the line"
    kind, line = text('Procfile').strip().split(': ', 1)
    port = free_port(0)
    assert kind == 'web'
    with running(['sh', '-c', line], checkout(place/'heroku', model), bare(**venv, PORT=str(port)), static(f'http://127.0.0.1:{port}/')):
        answers(f'http://127.0.0.1:{port}/')
