"What the tests share: a home of their own, a tiny dataset and models trained on it, a browser for those that open a page."
import functools, json, os, shutil, signal, subprocess, sys, time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener
import pytest

signal.signal(signal.SIGINT, signal.default_int_handler) # What a shell starts in the background is deaf to Ctrl-C otherwise

LONG = 'test_figures.py', 'test_run.py', 'test_cluster.py' # First, so that two workers end at about the same time

def pytest_collection_modifyitems(items): items.sort(key=lambda o: o.path.name not in LONG)

NAMES = 'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'
MAC = Path('/Applications/Google Chrome.app/Contents/MacOS/Google Chrome')

def on_path():
    "A browser that the machine has, or `None`"
    return next(filter(None, map(shutil.which, NAMES)), None) or (str(MAC) if MAC.exists() else None)

def from_playwright():
    "Playwright's own Chromium, or `None`"
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p: path = p.chromium.executable_path
    return path if Path(path).exists() else None

def quiet(*cmd, timeout=600):
    "Run `cmd`; one line on why where it fails, else ''"
    try: res = subprocess.run(cmd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
    except (OSError, subprocess.TimeoutExpired) as e: return f'{cmd[0]}: {e}'
    if res.returncode == 0: return ''
    lines = (res.stderr or res.stdout).strip().splitlines() or [f'exit {res.returncode}']
    errors = [l for l in lines if 'rror' in l or 'E:' in l]
    line = errors[0] if errors else lines[-1]
    return f'{" ".join(cmd[:4])}: {line.strip()}'

def find_chromium():
    "Path of a Chromium, and what was tried where there is none"
    if path := on_path(): return path, []
    tried = [f'none of {", ".join(NAMES)} on PATH']
    try: path = from_playwright()
    except ImportError: return None, tried + ['playwright is not installed']
    if path: return path, []
    root = os.name == 'posix' and os.geteuid() == 0
    deps = ['--with-deps'] if os.environ.get('CI') and not root else []       # a runner's sudo asks no password
    tried.append(quiet(sys.executable, '-m', 'playwright', 'install', 'chromium', *deps))
    if path := from_playwright(): return path, []
    if root and shutil.which('apt-get'):
        tried.append(quiet('apt-get', 'update', '-q') or quiet('apt-get', 'install', '-yq', 'chromium', timeout=900))
        if path := on_path(): return path, []
    return None, list(filter(None, tried))

def pytest_configure(config):
    "Before several workers start, so that only one process installs a browser"
    if getattr(config.option, 'numprocesses', None): find_chromium()

@pytest.fixture
def here(tmp_path, monkeypatch):
    "An empty folder to work in, with no model named"
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path/'work'))
    monkeypatch.delenv('EYEWEAR_MODEL', raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path

@pytest.fixture(scope='session')
def chromium():
    "Path of a Chromium: on PATH, else Playwright's own, else apt's; missing is a failure in CI, a skip said aloud elsewhere"
    path, tried = find_chromium()
    if path: return path
    msg = f'no Chromium for the tests of the page ({"; ".join(tried)}): install chromium or google-chrome'
    if os.environ.get('CI'): pytest.fail(msg, pytrace=False)
    print(f'\nSKIPPED: {msg}', file=sys.__stderr__)
    pytest.skip(msg)

HUSH = '--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync --no-first-run'.split()

@pytest.fixture(scope='module')
def browser(chromium):
    "That Chromium, headless, for the tests of a file"
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=chromium, args=HUSH)
        yield b
        b.close()

def comes_true(page, js, patience=60):
    "Wait until `js` holds on `page`; Playwright's own `wait_for_function` makes code from text there, which our pages forbid"
    end = time.monotonic()+patience
    while not page.evaluate(js):
        assert time.monotonic() < end, f'not true in {patience} s: {js}'
        page.wait_for_timeout(50)

def axe(page, selector='body'):
    "Accessibility problems that axe-core finds below `selector`: rule and elements"
    from axe_playwright_python.base import AXE_FILE_PATH
    page.evaluate(AXE_FILE_PATH.read_text(encoding='utf-8'))
    return page.evaluate('async o => (await axe.run(o)).violations.map(v => [v.id, v.nodes.map(n => n.html)])', selector)

@pytest.fixture
def own_home(tmp_path, monkeypatch):
    "An `EYEWEAR_HOME` of this test alone"
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path/'home'))
    monkeypatch.delenv('EYEWEAR_RUN', raising=False)
    return tmp_path/'home'

@pytest.fixture(scope='session')
def tiny_ds(tmp_path_factory):
    "16 photos of each of two labels; no test changes them"
    from tinylearner import tiny_dataset
    return tiny_dataset(tmp_path_factory.mktemp('tiny')/'photos', counts=dict(glasses=16, none=16))

@pytest.fixture(scope='session')
def trained(tiny_ds, tmp_path_factory):
    "`trained(how)`: a model after two epochs on `tiny_ds` and what its record says, made once for all tests"
    @functools.cache
    def train_once(how):
        from eyewear.core import read_record, run_dir
        from eyewear.train import train
        from tinylearner import TINY
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv('EYEWEAR_HOME', str(tmp_path_factory.mktemp('trained')))
            patch.delenv('EYEWEAR_RUN', raising=False)
            learn = train(tiny_ds, how=how, epochs=2, **TINY)
            return SimpleNamespace(learn=learn, facts=read_record()['training'], record=run_dir()/'summary.json')
    return train_once

# -- Notebooks in JupyterLab

def notebook(code, **metadata):
    "The text of a notebook of one cell"
    cell = dict(cell_type='code', id='one', metadata={}, source=code, outputs=[], execution_count=None)
    kernel = dict(name='python3', display_name='Python 3', language='python')
    return json.dumps(dict(cells=[cell], nbformat=4, nbformat_minor=5, metadata=dict(metadata, kernelspec=kernel)))

def fetch(url, patience=120):
    "What the server at `url` answers, once it is there"
    end = time.monotonic()+patience
    open_url = build_opener(ProxyHandler({})).open
    while True:
        try:
            with open_url(url, timeout=10) as r: return json.loads(r.read())
        except HTTPError: raise
        except OSError:
            if time.monotonic() > end: raise
            time.sleep(.1)

@contextmanager
def jupyterlab(home):
    "A JupyterLab with settings of its own, on the notebooks in `home`: its address"
    from eyewear.page.launch import free_port
    port = free_port(0)
    options = ['--no-browser', '--allow-root', f'--ServerApp.port={port}', '--ServerApp.port_retries=0', '--IdentityProvider.token=',
               '--LabApp.news_url=None', f'--ServerApp.root_dir={home}']
    folders = dict(JUPYTER_CONFIG_DIR='config', JUPYTERLAB_SETTINGS_DIR='settings', JUPYTERLAB_WORKSPACES_DIR='workspaces')
    env = os.environ | {k: str(home/v) for k, v in folders.items()} | dict(JUPYTER_PREFER_ENV_PATH='1')
    proc = subprocess.Popen([sys.executable, '-m', 'jupyterlab', *options], cwd=home, env=env,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    url = f'http://127.0.0.1:{port}/'
    try:
        fetch(f'{url}api/status')
        yield url
    finally:
        proc.terminate()
        try: proc.wait(30)
        finally: proc.kill()
