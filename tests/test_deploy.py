"Every host's files, tried by a stand-in: a fresh folder, a fresh environment, a portrait through a real browser."
import hashlib, json, os, re, shutil, signal, subprocess, sys, time
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import ProxyHandler, build_opener
import pytest, yaml
from eyewear.predict import Classifier
from eyewear.page.launch import free_port
from test_repo import commit_all, copy, text
from localhost import host
from tinymodel import tiny_model

pytestmark = pytest.mark.skipif(os.name != 'posix', reason='hosts are Linux')
get = build_opener(ProxyHandler({})).open

def ask(page, file):
    "Give the page a photo; the label and probability of its answer. Nothing else here knows the buttons of the page"
    page.get_by_role('button', name='Classify').wait_for(timeout=120_000)
    with page.expect_file_chooser() as chooser:
        page.get_by_role('button', name=re.compile('Upload|photo', re.I)).first.click()
    chooser.value.set_files(file)
    page.locator('img[src^="data:"], img[src^="blob:"]').first.wait_for(timeout=60_000)
    page.get_by_role('button', name='Classify').click()
    answer = page.get_by_text(re.compile(r'^Prediction: .+; Probability: [\d.]+')).first
    answer.wait_for(timeout=60_000)
    return re.match(r'Prediction: (.+); Probability: ([\d.]+)', answer.inner_text()).groups()

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
def check_answer(browser, model, portrait):
    "Open an address, ask about the portrait, compare with what the model says"
    expected = Classifier(model)(portrait)
    def check(url):
        page = browser.new_page()
        page.goto(url)
        label, prob = ask(page, portrait)
        page.close()
        assert label == expected.label
        assert float(prob) == pytest.approx(expected.prob, abs=.02)
    return check

def clean_env(**kw):
    "The environment of this process without what would lead back to this checkout"
    prefixes = 'EYEWEAR_', 'JUPYTER_', 'PYTHONPATH', 'PORT'
    return {k: v for k, v in os.environ.items() if not k.startswith(prefixes)} | kw

PIP = '''#!/bin/sh
# uv in the place of pip: as fast as its cache
for o; do shift; [ "$o" = --no-cache-dir ] || set -- "$@" "$o"; done
exec "{uv}" pip "$@"
'''

@pytest.fixture(scope='module')
def venv(place):
    "The one fresh environment of this file, empty at first; in it `pip` is uv"
    uv = Path(sys.executable).parent/'uv'
    path = place/'venv'
    if not uv.exists(): pytest.skip('uv is not installed: pip install eyewear[dev]')
    subprocess.run([uv, 'venv', '-q', '--python', sys.executable, path], check=True)
    (path/'bin'/'pip').write_text(PIP.format(uv=uv))
    (path/'bin'/'pip').chmod(0o755)
    return dict(VIRTUAL_ENV=str(path), PATH=f'{path}/bin:{os.environ["PATH"]}', HOME=str(place))

def shell(cmd, cwd, env):
    "Run a line of shell; its output, errors included, is in `stdout`"
    pipes = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return subprocess.run(['sh', '-c', cmd], cwd=cwd, env=env, text=True, **pipes)

# -- A Dockerfile without Docker

class Image:
    "Carries out a Dockerfile below the folder `root`, without Docker; steps that need root are skipped with a note"
    def __init__(self, context, root, venv, dockerfile='deploy/Dockerfile', **args):
        self.context, self.root, self.args = context, root, args
        self.cwd = root
        self.env = clean_env(**venv)
        self.log = ''
        self.rc = 0
        lines = (context/dockerfile).read_text().replace('\\\n', ' ').splitlines()
        for line in lines:
            if not line.strip() or line.startswith('#'): continue
            instruction, arg = line.split(None, 1)
            getattr(self, f'do_{instruction.lower()}')(arg)
            if self.rc: break

    def do_from(self, arg): pass
    do_user = do_expose = do_from

    def do_workdir(self, arg):
        self.cwd = self.root/arg.lstrip('/')
        self.cwd.mkdir(parents=True)

    def do_copy(self, arg):
        *sources, dst = arg.split()
        for src in (self.context/o for o in sources):
            if src.is_dir(): shutil.copytree(src, self.cwd/dst, dirs_exist_ok=True)
            else:
                (self.cwd/dst).mkdir(parents=True, exist_ok=True)
                shutil.copy(src, self.cwd/dst)

    def do_arg(self, arg): self.env[arg] = self.args.get(arg, '')

    def do_env(self, arg):
        for k, v in re.findall(r'(\w+)=(\S*)', arg):
            value = re.sub(r'\$(\w+)', lambda m: self.env[m[1]], v)
            self.env[k] = value.replace('/home/', f'{self.root}/home/')

    def do_run(self, arg):
        if 'useradd' in arg:
            print(f'passed over, needs root: {arg}', file=sys.__stderr__)
            (self.root/'home'/arg.split()[-1]).mkdir(parents=True)
            return
        res = shell(arg, self.cwd, self.env)
        self.log, self.rc = res.stdout, res.returncode

    def do_cmd(self, arg): self.start = json.loads(arg)

    def do_healthcheck(self, arg): self.health = arg.split('CMD ', 1)[1]

    def is_healthy(self): return shell(self.health, self.cwd, self.env).returncode == 0

def responds(url):
    try: get(url, timeout=60).close()
    except OSError as e: return not isinstance(getattr(e, 'reason', e), ConnectionError)
    return True

def wait_until(cond, log, patience=120):
    "Wait for `cond`; what the host wrote is the message where it never comes"
    end = time.monotonic()+patience
    while not cond():
        assert time.monotonic() < end, log.read_text()
        time.sleep(.2)

@contextmanager
def running(cmd, cwd, env, url):
    "The start line of a host, from when `url` responds until it is told to end; nothing responds there afterwards"
    log = cwd.parent/f'{cwd.name}-{time.monotonic_ns()}.log'
    with open(log, 'w') as f:
        pipes = dict(stdin=subprocess.DEVNULL, stdout=f, stderr=f)
        proc = subprocess.Popen(cmd, cwd=cwd, env=env, start_new_session=True, **pipes)
    try:
        wait_until(lambda: proc.poll() is not None or responds(url), log)
        assert proc.poll() is None, log.read_text()
        yield proc
        proc.terminate()
        proc.wait(60)
        wait_until(lambda: not responds(url), log)
    finally:
        with suppress(ProcessLookupError): os.killpg(proc.pid, signal.SIGKILL)  # what is left where a test has failed

def checkout(to, model=None):
    "A reader's own copy of the repository, with the model that they committed"
    copy(to)
    (to/'deploy'/'eyewear.onnx').unlink(missing_ok=True)
    if model: shutil.copy(model, to/'deploy'/'eyewear.onnx')
    return to

def static(url): return url+'voila/templates/base/static/voila.js'

# -- Docker, and hosts that build a Dockerfile and set PORT

@pytest.fixture(scope='module')
def image(place, model, venv):
    "The image of a copy with a model"
    image = Image(checkout(place/'docker', model), place/'image', venv)
    assert image.rc == 0, image.log
    return image

def test_model_is_ignored_until_the_line_goes(tmp_path):
    subprocess.run(['git', 'init', '-q'], cwd=tmp_path, check=True)
    cmd = ['git', 'check-ignore', '-q', 'deploy/eyewear.onnx']
    without_line = text('.gitignore').replace('\ndeploy/eyewear.onnx\n', '\n')
    for ignore, rc in ((text('.gitignore'), 0), (without_line, 1)):
        (tmp_path/'.gitignore').write_text(ignore)
        assert subprocess.run(cmd, cwd=tmp_path).returncode == rc

def test_image_is_light_and_checked(image, venv):
    assert image.log.strip() == f"{image.cwd/'deploy'/'eyewear.onnx'} answers: glasses, sunglasses, VR, none"
    assert [(image.cwd/o).exists() for o in ('eyewear', 'deploy/README.md')] == [False, True]
    packages = {o.name.split('-')[0] for o in Path(venv['VIRTUAL_ENV']).glob('lib/*/site-packages/*.dist-info')}
    assert {'eyewear', 'voila'} <= packages
    assert not {'torch', 'fastai', 'jupyterlab', 'dicebear_core'} & packages

def test_docker(image, check_answer):
    port = str(free_port(0))
    image.env['PORT'] = port
    url = f'http://127.0.0.1:{port}/'
    assert not image.is_healthy()
    with running(image.start, image.cwd, image.env, static(url)):
        assert image.is_healthy()
        check_answer(url)

def test_build_and_start_without_a_model_end_in_a_sentence(place, venv):
    image = Image(checkout(place/'nothing'), place/'empty', venv)
    assert image.rc == 1
    assert re.fullmatch('eyewear: there is no model yet: .+\n', image.log)
    res = subprocess.run(['eyewear-app', '--port', '0'], cwd=image.cwd, env=image.env, capture_output=True, text=True)
    assert (res.returncode, res.stdout, res.stderr) == (2, '', image.log)

# -- A Hugging Face Space

def test_space(model, place, venv):
    "Filled as the page says, its model by address at the build, on the port of its front matter; `test_docker` starts this image"
    repo, space = checkout(place/'reader'), place/'space'
    space.mkdir()
    commit_all(repo)
    lines = [l for l in text('deploy/huggingface.md').splitlines() if l.startswith(('git archive', 'cp '))]
    for l in lines: subprocess.run(['sh', '-c', l], cwd=repo, check=True)
    front = yaml.safe_load((space/'README.md').read_text().split('---\n')[1])
    data = model.read_bytes()
    with host(data) as h:
        address = f'{h.url}/eyewear.onnx#sha256={hashlib.sha256(data).hexdigest()}'
        image = Image(space, place/'space-image', venv, 'Dockerfile', EYEWEAR_MODEL=address)
    assert image.rc == 0, image.log
    assert len(h.asked) == 1
    assert 'answers: glasses' in image.log
    assert (front['sdk'], str(front['app_port'])) == ('docker', image.env['PORT'])
    check = shell('eyewear-predict --check', image.cwd, image.env)  # the host of the model is gone
    assert check.returncode == 0, check.stdout

# -- Notebook hosts: Binder, and an address below which others live

def test_binder(check_answer, place, model, venv):
    "As repo2docker does it: install, postBuild, then the server through `start`, at a path of its own and with a token"
    repo, port = checkout(place/'binder', model), free_port(0)
    env = clean_env(**venv)
    res = shell('pip install -q -r .binder/requirements.txt', repo, env)
    assert res.returncode == 0, res.stdout
    assert 'answers: glasses' in shell('./.binder/postBuild', repo, env).stdout
    url = f'http://127.0.0.1:{port}/user/somebody/'
    options = '--no-browser --ip=127.0.0.1 --ServerApp.base_url=/user/somebody/ --IdentityProvider.token=abc'
    cmd = [repo/'.binder'/'start', 'jupyter', 'server', f'--port={port}', *options.split()]
    if os.geteuid() == 0: cmd.append('--allow-root')
    with running(cmd, repo, env, url+'api'): check_answer(f'{url}voila/render/nbs/app.ipynb?token=abc')
    (repo/'deploy'/'eyewear.onnx').unlink()
    res = shell('./.binder/postBuild', repo, env)
    assert res.returncode == 1 and 'there is no model yet' in res.stdout

# -- Colab

STUB = '''
"What the page uses of google.colab.output"
from types import SimpleNamespace
_widgets = SimpleNamespace(_installed_url=None)
def enable_custom_widget_manager():
    _widgets._installed_url = 'https://example.org/manager.js'
    open('enabled', 'w').close()
'''

def test_colab(check_answer, place, model, venv, image):
    "The cell of the page for Colab, below a stub of google.colab; Voila shows what comes out of it"
    import nbformat
    install, code = re.search(r'```python\n(.+?\n)(.+?)```', text('deploy/colab.md'), re.S).groups()
    assert install.startswith('%pip install ')
    content, port = place/'content', free_port(0)
    stub = content/'google'/'colab'
    stub.mkdir(parents=True)
    (stub/'__init__.py').touch()
    (stub/'output.py').write_text(STUB)
    shutil.copy(model, content)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]), content/'colab.ipynb')
    cmd = ['voila', 'colab.ipynb', '--no-browser', f'--port={port}', '--Voila.ip=127.0.0.1']
    url = f'http://127.0.0.1:{port}/'
    with running(cmd, content, clean_env(**venv, PYTHONPATH=str(content)), static(url)): check_answer(url)
    assert (content/'enabled').exists()
