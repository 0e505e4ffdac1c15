"Every host's files, tried by a stand-in: a fresh folder, a fresh environment, a portrait through a real browser. And a model by address."
import hashlib, http.server, json, os, re, shutil, signal, socket, subprocess, sys, threading, time
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from urllib.request import ProxyHandler, build_opener
import pytest, yaml
from eyewear import predict as fetchmodel
from eyewear.core import ModelError
from eyewear.predict import Classifier, find_model
from eyewear.page.launch import free_port
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
    from eyewear.data.practice import try_portraits
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

def build(context, root, venv, dockerfile='deploy/Dockerfile', **args):
    "Carry out the Dockerfile of `context` below the folder `root`; what needs the system's administrator is passed over aloud"
    image = SimpleNamespace(cwd=root, env=bare(**venv), args=args, log='', rc=0)
    def sh(cmd): return subprocess.run(['sh', '-c', cmd], cwd=image.cwd, env=image.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for do, arg in steps(context/dockerfile):
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

def answers_at(url):
    try: get(url, timeout=60).close()
    except OSError as e: return not isinstance(getattr(e, 'reason', e), ConnectionError)
    return True

def until(cond, log, patience=120):
    "Wait for `cond`; what the host wrote where it never comes"
    end = time.monotonic()+patience
    while not cond():
        assert time.monotonic() < end, log.read_text()
        time.sleep(.2)

def everyone(proc): os.killpg(proc.pid, signal.SIGTERM)

@contextmanager
def running(cmd, cwd, env, url, end=subprocess.Popen.terminate):
    "The start line of a host, from the moment that `url` answers until it is told to end; nothing answers there afterwards"
    log = cwd.parent/f'{cwd.name}-{time.monotonic_ns()}.log'
    with open(log, 'w') as f: proc = subprocess.Popen(cmd, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=f, stderr=f, start_new_session=True)
    try:
        until(lambda: proc.poll() is not None or answers_at(url), log)
        assert proc.poll() is None, log.read_text()
        yield proc
        end(proc)
        proc.wait(60)
        until(lambda: not answers_at(url), log)
    finally:
        with suppress(ProcessLookupError): os.killpg(proc.pid, signal.SIGKILL)      # the rest of it, where a test has failed

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

def test_model_is_ignored_until_the_line_goes(tmp_path):
    repo = checkout(tmp_path/'repo')
    subprocess.run(['git', 'init', '-q'], cwd=repo, check=True)
    ignored = lambda: subprocess.run(['git', 'check-ignore', '-q', 'deploy/eyewear.onnx'], cwd=repo).returncode == 0
    assert ignored()
    (repo/'.gitignore').write_text(text('.gitignore').replace('\ndeploy/eyewear.onnx\n', '\n'))
    assert not ignored()

# -- Docker

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

# -- A model by address

@contextmanager
def host(*pages):
    "A host on this machine that gives the same answer always: bytes, or a function of the handler; and how often it was asked"
    asked = []
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            page = pages[min(len(asked), len(pages))-1]
            if callable(page): return page(self)
            reply(self, page)
        def log_message(self, *args): pass
    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        def handle_error(self, *args): pass                     # a client that has heard enough hangs up
    with Server(('127.0.0.1', 0), Handler) as s:
        threading.Thread(target=s.serve_forever, args=(.05,), daemon=True).start()
        yield SimpleNamespace(url=f'http://127.0.0.1:{s.server_port}/eyewear.onnx', asked=asked)
        s.shutdown()

def reply(h, data, status=200, size=None, **headers):
    h.send_response(status)
    h.send_header('Content-Length', str(len(data) if size is None else size))
    for k, v in headers.items(): h.send_header(k.replace('_', '-'), v)
    h.end_headers()
    h.wfile.write(data)

def sha(data): return hashlib.sha256(data).hexdigest()

def slowly(h):
    h.send_response(200)
    h.end_headers()
    while True:
        h.wfile.write(b'0')
        time.sleep(.05)

def endless(h):
    h.send_response(200)
    h.end_headers()
    while True: h.wfile.write(b'0'*2**16)

def silent(h): time.sleep(60)
def cut(h): reply(h, b'0'*500, size=9000)
def hung_up(h): h.connection.shutdown(socket.SHUT_RDWR)
def to(address): return lambda h: reply(h, b'', 302, Location=address)

BAD = dict(
    gone=(lambda h: reply(h, b'', 404), '404 Not Found'), broken=(lambda h: reply(h, b'', 500), '500 Internal'),
    login=(lambda h: reply(h, b'<p>Who are you?', Content_Type='text/html; charset=utf-8'), 'a web page'),
    other=(lambda h: reply(h, b'other weights'), 'another file than you asked for'), empty=(lambda h: reply(h, b''), 'another file than you asked for'),
    large=(lambda h: reply(h, b'', size=10**12), '1,000,000,000,000 bytes'), endless=(endless, 'more than 1,000,000 bytes'),
    silent=(silent, 'timed out'), slow=(slowly, 'not here after 1 seconds'), cut=(cut, 'peer closed connection'), hung_up=(hung_up, ''),
    round=(to('/again'), 'on and on'), away=(to('http://example.org/eyewear.onnx'), 'has to come over https'),
    file=(to('file:///etc/passwd'), 'has to come over https'), nonsense=(to('http://[1:2/'), 'has to come over https'))

@pytest.fixture
def alone(tmp_path, monkeypatch):
    "A home of its own, little patience"
    for k, v in dict(silence=1, too_long=1, max_model=10**6).items(): monkeypatch.setattr(fetchmodel, k, v)
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path/'work'))
    monkeypatch.setenv('http_proxy', 'http://127.0.0.1:9')      # nothing there; this machine is asked past it
    monkeypatch.chdir(tmp_path)
    return tmp_path

@pytest.mark.parametrize('name', BAD)
def test_host_that_fails_is_a_sentence(alone, monkeypatch, name):
    page, why = BAD[name]
    with host(page) as h:
        monkeypatch.setenv('EYEWEAR_MODEL', h.url.replace('//', '//me:secret@')+f'?key=secret#sha256={sha(b"weights")}')
        with pytest.raises(ModelError) as e: find_model()
    said = str(e.value)
    assert why in said and '; ' in said and '\n' not in said and 'secret' not in said and len(said) < 250
    assert said.startswith('http://127.0.0.1:') or why == 'has to come over https'
    assert not list(alone.rglob('*.onnx*'))

def test_nobody_there_is_a_sentence(alone):
    with pytest.raises(ModelError, match='the model did not come .*refused'): find_model(f'http://127.0.0.1:{free_port(0)}/m#sha256={"0"*64}')

@pytest.mark.parametrize('address,why', [('{}', 'has no digest'), ('{}#sha256=12', 'has no digest'), ('{}#md5=1', 'has no digest'),
    ('http://example.org/m#sha256=0', 'over https'), ('ftp://example.org/m#sha256=0', 'over https'), ('https://#sha256=0', 'over https'), ('https://[1#sha256=0', 'is none')])
def test_address_that_will_not_do_is_not_asked(alone, address, why):
    with host(b'weights') as h:
        with pytest.raises(ModelError, match=why): find_model(address.format(h.url))
        assert not h.asked

def test_fetched_once_and_again_where_it_is_damaged(alone, monkeypatch, model):
    data = model.read_bytes()
    with host(to('/there'), data) as h:
        monkeypatch.setenv('EYEWEAR_MODEL', f'{h.url}#sha256={sha(data).upper()}')
        path = find_model()
        assert path == find_model() == alone/'work'/'models'/f'{sha(data)}.onnx' and path.read_bytes() == data
        assert h.asked == ['/eyewear.onnx', '/there'] and Classifier().path == path
        path.write_bytes(data[:-1])
        assert find_model().read_bytes() == data and len(h.asked) == 3
    assert find_model() == path and [o.name for o in path.parent.iterdir()] == [path.name]

def test_home_that_takes_no_file_is_a_sentence(alone, monkeypatch):
    (alone/'work').write_text('a file where a folder should be')
    with host(b'weights') as h:
        with pytest.raises(ModelError, match='cannot be kept .*; set EYEWEAR_HOME'): find_model(f'{h.url}#sha256={sha(b"weights")}')

def test_scripts_end_with_the_sentence(alone):
    env = bare(EYEWEAR_MODEL='https://example.org/eyewear.onnx', EYEWEAR_HOME=str(alone/'work'))
    for f, args, rc in (('predict', ['--check'], 1), ('app', ['--port', '0'], 2)):
        code = f'import sys; from eyewear.cli import {f}; sys.argv = ["x", *{args}]; {f}()'
        (alone/'script').write_text(f'if __name__ == "__main__":\n    {code}\n')
        res = subprocess.run([sys.executable, 'script'], env=env | dict(PYTHONPATH=str(ROOT)), capture_output=True, text=True)
        assert res.returncode == rc and re.fullmatch('eyewear: https://example.org/eyewear.onnx: has no digest; .+\n', res.stderr), res.stderr

# -- A Hugging Face Space

def test_space(answers, model, place, venv):
    "Filled as the page says, its model by address at the build; the host of the model is gone when it starts"
    repo, space = checkout(place/'reader'), place/'space'
    space.mkdir()
    git = 'git', '-c', 'user.name=a', '-c', 'user.email=a@b.c'
    for o in (['init', '-q'], ['add', '-A'], ['commit', '-qm', 'a']): subprocess.run([*git, *o], cwd=repo, check=True)
    lines = [l for l in text('deploy/huggingface.md').splitlines() if l.startswith(('git archive', 'cp '))]
    assert len(lines) == 2
    for l in lines: subprocess.run(['sh', '-c', l], cwd=repo, check=True)
    front = yaml.safe_load((space/'README.md').read_text().split('---\n')[1])
    assert front['sdk'] == 'docker' and (space/'Dockerfile').is_file()
    data = model.read_bytes()
    with host(data) as h: image = build(space, place/'space-image', venv, 'Dockerfile', EYEWEAR_MODEL=f'{h.url}#sha256={sha(data)}')
    assert image.rc == 0 and len(h.asked) == 1 and 'answers: glasses' in image.log
    assert image.env['PORT'] == str(front['app_port']) == '7860'
    try: free_port(7860, '0.0.0.0')
    except Exception as e:
        print(f'another port in the place of 7860: {e}', file=sys.__stderr__)
        image.env['PORT'] = str(free_port(0))
    url = f'http://127.0.0.1:{image.env["PORT"]}/'
    with running(image.cmd, image.cwd, image.env, static(url)):
        assert image.healthy()
        answers(url)

# -- Notebook hosts: Binder, and an address below which others live

def test_binder(answers, place, model, venv):
    "As repo2docker does it: install, postBuild, then the server through `start`, below an address of its own and with a token"
    repo, port = checkout(place/'binder', model), free_port(0)
    env = bare(**venv)
    def sh(cmd): return subprocess.run(['sh', '-c', cmd], cwd=repo, env=env, capture_output=True, text=True)
    res = sh('pip install -q -r .binder/requirements.txt')
    assert res.returncode == 0, res.stderr
    assert 'answers: glasses' in sh('./.binder/postBuild').stdout
    url = f'http://127.0.0.1:{port}/user/somebody/'
    cmd = [repo/'.binder'/'start', 'jupyter', 'server', '--no-browser', '--ip=127.0.0.1', f'--port={port}', '--ServerApp.base_url=/user/somebody/', '--IdentityProvider.token=abc']
    if os.geteuid() == 0: cmd.append('--allow-root')
    with running(cmd, repo, env, url+'api'): answers(f'{url}voila/render/nbs/app.ipynb?token=abc')
    (repo/'deploy'/'eyewear.onnx').unlink()
    res = sh('./.binder/postBuild')
    assert res.returncode == 1 and 'there is no model yet' in res.stderr

# -- Colab

STUB = '''
"What the page uses of google.colab.output"
from types import SimpleNamespace
_widgets = SimpleNamespace(_installed_url=None)
def enable_custom_widget_manager():
    _widgets._installed_url = 'https://example.org/manager.js'
    open('enabled', 'w').close()
'''

def test_colab(answers, place, model, venv, image):
    "The cell of the page for Colab, below a stub of google.colab; Voila shows what comes out of it"
    import nbformat
    code = re.search(r'```python\n(.+?)```', text('deploy/colab.md'), re.S)[1]
    assert code.startswith('%pip install ')
    here, port = place/'content', free_port(0)
    (here/'google'/'colab').mkdir(parents=True)
    (here/'google'/'colab'/'__init__.py').touch()
    (here/'google'/'colab'/'output.py').write_text(STUB)
    shutil.copy(model, here)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code.split('\n', 1)[1])]), here/'colab.ipynb')
    cmd = ['voila', 'colab.ipynb', '--no-browser', f'--port={port}', '--Voila.ip=127.0.0.1']
    url = f'http://127.0.0.1:{port}/'
    with running(cmd, here, bare(**venv, PYTHONPATH=str(here)), static(url)): answers(url)
    assert (here/'enabled').exists()
