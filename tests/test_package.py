"The package as a stranger gets it: built by `make dist`, installed into an empty environment as wheel and from source, and put to use there."
import json, os, re, shutil, subprocess, sys, tarfile, zipfile
from pathlib import Path
from types import SimpleNamespace
from urllib.request import ProxyHandler, build_opener
import pytest
from PIL import Image
from test_repo import MODULES, ROOT, SCRIPTS, cfg, copy, make, text
from tinymodel import tiny_model

pytestmark = pytest.mark.skipif(os.name != 'posix', reason='folders of an environment as on Linux and macOS')
get = build_opener(ProxyHandler({})).open
static = {str(f.relative_to(ROOT)) for f in (ROOT/'eyewear'/'page'/'static').rglob('*') if f.is_file()}

@pytest.fixture(scope='module')
def dist(tmp_path_factory):
    "What `make dist` leaves in a copy of what git would carry"
    root = copy(tmp_path_factory.mktemp('dist')/'src')
    with pytest.MonkeyPatch.context() as m:
        for k, v in dict(ROOT=root, VENV=Path(sys.prefix), make_venv=lambda path: None).items(): m.setattr(make, k, v)
        make.dist()
    (sdist,), (wheel,) = (root/'dist').glob('*.tar.gz'), (root/'dist').glob('*.whl')
    return SimpleNamespace(sdist=sdist, wheel=wheel)

def test_wheel_and_source_carry_the_page(dist):
    stem = f"eyewear-{cfg['version']}"
    assert (dist.sdist.name, dist.wheel.name) == (f'{stem}.tar.gz', f'{stem}-py3-none-any.whl')
    with zipfile.ZipFile(dist.wheel) as z:
        for page in ('app', 'review'): assert z.read(f'eyewear/page/static/{page}.ipynb').decode() == text(f'nbs/{page}.ipynb')
        names = set(z.namelist())
    assert static | {f'eyewear/{m}.py' for m in MODULES} <= names and f'{stem}.dist-info/licenses/LICENSE' in names
    assert not [o for o in names if not o.startswith(('eyewear/', f'{stem}.dist-info/'))]
    with tarfile.open(dist.sdist) as t: names = {o.split('/', 1)[-1] for o in t.getnames()}
    assert {'settings.ini', 'setup.py', 'constraints/full.txt', 'nbs/app.ipynb', 'nbs/review.ipynb', 'LICENSE', 'README.md', *static} <= names

def test_what_pypi_refuses_is_a_failure(tmp_path, monkeypatch):
    "The description has to be one that PyPI shows"
    root = copy(tmp_path/'src')
    setup = (root/'setup.py').read_text()
    (root/'setup.py').write_text(setup.replace('text/markdown', 'text/x-rst'))
    (root/'README.md').write_text('Title\n=====\n\n.. none:: `\n\nA\n---\nB\n======\n')
    for k, v in dict(ROOT=root, VENV=Path(sys.prefix), make_venv=lambda path: None).items(): monkeypatch.setattr(make, k, v)
    with pytest.raises(SystemExit): make.dist()

# -- In an empty environment

@pytest.fixture(scope='module')
def there(dist, tmp_path_factory):
    "An empty environment, at first; then the wheel in it with the versions of constraints/light.txt, beside a model and a photo"
    place = tmp_path_factory.mktemp('there')
    uv, python = Path(sys.executable).parent/'uv', place/'venv'/'bin'/'python'
    env = {k: v for k, v in os.environ.items() if not k.startswith(('EYEWEAR_', 'JUPYTER_', 'PYTHON'))}
    env |= dict(PATH=f'{python.parent}:{env["PATH"]}', VIRTUAL_ENV=str(place/'venv'), HOME=str(place), EYEWEAR_HOME=str(place/'work'))
    def run(*cmd): return subprocess.run([str(o) for o in cmd], cwd=place, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    def install(*args):
        res = subprocess.run([uv, 'pip', 'install', '-q', '--python', python, *args], capture_output=True, text=True)
        assert res.returncode == 0, res.stderr
    subprocess.run([uv, 'venv', '-q', '--python', sys.executable, place/'venv'], check=True)
    assert run(python, '-c', 'import eyewear').returncode
    install('-c', ROOT/'constraints'/'light.txt', dist.wheel)
    tiny_model(place/'eyewear.onnx')
    Image.new('RGB', (64, 64), 'blue').save(place/'portrait.jpg')
    return SimpleNamespace(place=place, env=env, run=run, install=install, python=python)

ASK = '''
import json, sys, eyewear
from pathlib import Path
from eyewear.predict import Classifier
from eyewear.page.launch import page_notebook
res = Classifier('eyewear.onnx')('portrait.jpg')
print(json.dumps(dict(label=res.label, prob=res.prob, version=eyewear.__version__, file=eyewear.__file__, heavy=[o for o in ('torch', 'fastai') if o in sys.modules],
    app=str(page_notebook()))))'''

def asked(there):
    "What the installed package says in a process of its own, far from this checkout"
    res = there.run(there.python, '-c', ASK)
    assert res.returncode == 0, res.stderr
    said = json.loads(res.stdout)
    site = Path(said['file']).parent
    assert there.place in site.parents and said['app'] == str(site/'page'/'static'/'app.ipynb')
    assert not [o for o in static if not (site.parent/o).is_file()]
    return said

def test_wheel_answers(there):
    said = asked(there)
    assert said['label'] == 'VR' and said['prob'] > .9 and said['version'] == cfg['version'] and not said['heavy']
    names = {o.name.split('-')[0] for o in there.place.glob('venv/lib/*/site-packages/*.dist-info')}
    assert {'eyewear', 'onnxruntime', 'voila'} <= names and not {'torch', 'fastai', 'jupyterlab', 'onnx'} & names

HEAVY = 'eyewear-train', 'eyewear-interpret', 'eyewear-export'

@pytest.mark.parametrize('script', HEAVY)
def test_script_of_a_lesson_says_what_is_missing(there, script):
    res = there.run(there.python.parent/script)
    assert res.returncode == 2 and res.stderr.startswith('eyewear: ') and "run `pip install 'eyewear[tutorial]'`" in res.stderr
    assert 'fastai' in res.stderr and len(res.stderr.splitlines()) == 1

@pytest.mark.parametrize('script', [o for o in SCRIPTS if o not in HEAVY])
def test_script_of_the_light_part_says_what_it_takes(there, script):
    res = there.run(there.python.parent/script, '--help')
    assert res.returncode == 0 and f'usage: {script}' in res.stdout, res.stderr

def test_app_answers_a_visitor(there):
    cmd = [there.python.parent/'eyewear-app', '--model', 'eyewear.onnx', '--port', '0', '--pool', '0']
    with subprocess.Popen(cmd, cwd=there.place, env=there.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as proc:
        try:
            line = proc.stdout.readline()
            assert line.startswith('The app is at http://'), proc.stderr.read()
            with get(re.search(r'http://\S+', line)[0], timeout=60) as r: assert r.status == 200 and 'jupyter-widget' in r.read().decode()
        finally: proc.terminate()
    assert proc.returncode == 0

def test_source_installs_too(there, dist):
    "From the source archive, in the place of the wheel: the same files, the same answer"
    site = Path(asked(there)['file']).parent
    def files(): return {str(f.relative_to(site)): f.read_bytes() for f in site.rglob('*') if f.is_file() and f.suffix != '.pyc'}
    before = files()
    shutil.rmtree(site)
    there.install('--no-deps', '--reinstall-package', 'eyewear', '--build-constraints', ROOT/'constraints'/'full.txt', dist.sdist)
    assert asked(there)['label'] == 'VR' and files() == before
