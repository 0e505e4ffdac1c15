"The package as a stranger gets it: built by `make dist`, installed into an empty environment, and put to use there."
import json, os, shutil, subprocess, sys, tarfile, zipfile
from pathlib import Path
from types import SimpleNamespace
import pytest
from PIL import Image
from test_repo import MODULES, ROOT, SCRIPTS, cfg, copy, make, text
from tinymodel import tiny_model

pytestmark = pytest.mark.skipif(os.name != 'posix', reason='folders of an environment as on Linux and macOS')
STATIC = {str(f.relative_to(ROOT)) for f in (ROOT/'eyewear'/'page'/'static').rglob('*') if f.is_file()}
HEAVY = 'train', 'interpret', 'export'
LIGHT_MODULES = [m.replace('/', '.') for m in MODULES if m not in HEAVY and not m.startswith('model/')]

def make_dist(root):
    "`make dist` in the copy `root` of the repository, with the environment of this process"
    with pytest.MonkeyPatch.context() as m:
        m.setattr(make, 'ROOT', root)
        m.setattr(make, 'VENV', Path(sys.prefix))
        m.setattr(make, 'make_venv', lambda path: None)
        make.dist()

@pytest.fixture(scope='module')
def dist(tmp_path_factory):
    root = copy(tmp_path_factory.mktemp('dist')/'src')
    make_dist(root)
    [sdist] = (root/'dist').glob('*.tar.gz')
    [wheel] = (root/'dist').glob('*.whl')
    return SimpleNamespace(sdist=sdist, wheel=wheel)

def test_wheel_and_source_have_every_file(dist):
    stem = f"eyewear-{cfg['version']}"
    assert (dist.sdist.name, dist.wheel.name) == (f'{stem}.tar.gz', f'{stem}-py3-none-any.whl')
    with zipfile.ZipFile(dist.wheel) as z:
        for page in ('app', 'review'):
            assert z.read(f'eyewear/page/static/{page}.ipynb').decode() == text(f'nbs/{page}.ipynb')
        names = set(z.namelist())
    assert STATIC | {f'eyewear/{m}.py' for m in MODULES} <= names
    assert f'{stem}.dist-info/licenses/LICENSE' in names
    assert not [o for o in names if not o.startswith(('eyewear/', f'{stem}.dist-info/'))]
    with tarfile.open(dist.sdist) as t: names = {o.split('/', 1)[-1] for o in t.getnames()}
    assert {'settings.ini', 'setup.py', make.PINS, 'nbs/app.ipynb', 'nbs/review.ipynb'} <= names
    assert {'LICENSE', 'README.md', *STATIC} <= names

def test_what_pypi_refuses_is_a_failure(tmp_path):
    "The description has to be one that PyPI shows"
    root = copy(tmp_path/'src')
    setup = (root/'setup.py').read_text()
    (root/'setup.py').write_text(setup.replace('text/markdown', 'text/x-rst'))
    (root/'README.md').write_text('Title\n=====\n\n.. none:: `\n\nA\n---\nB\n======\n')
    with pytest.raises(SystemExit): make_dist(root)

# -- In an empty environment

class Installed:
    "An environment with the wheel and the versions of constraints/light.txt, beside a model and a photo"
    def __init__(self, folder, wheel):
        self.folder = folder
        self.python = folder/'venv'/'bin'/'python'
        self.uv = Path(sys.executable).parent/'uv'
        prefixes = 'EYEWEAR_', 'JUPYTER_', 'PYTHON'
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(prefixes)}
        self.env['PATH'] = f'{self.python.parent}:{self.env["PATH"]}'
        self.env |= dict(VIRTUAL_ENV=str(folder/'venv'), HOME=str(folder), EYEWEAR_HOME=str(folder/'work'))
        subprocess.run([self.uv, 'venv', '-q', '--python', sys.executable, folder/'venv'], check=True)
        assert self.run(self.python, '-c', 'import eyewear').returncode
        self.install('-c', ROOT/make.LIGHT_PINS, wheel)
        tiny_model(folder/'eyewear.onnx')
        Image.new('RGB', (64, 64), 'blue').save(folder/'portrait.jpg')

    def run(self, *cmd):
        pipes = dict(stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return subprocess.run([str(o) for o in cmd], cwd=self.folder, env=self.env, timeout=300, **pipes)

    def install(self, *args):
        cmd = [self.uv, 'pip', 'install', '-q', '--python', self.python, *args]
        res = subprocess.run(cmd, capture_output=True, text=True)
        assert res.returncode == 0, res.stderr

@pytest.fixture(scope='module')
def installed(dist, tmp_path_factory): return Installed(tmp_path_factory.mktemp('installed'), dist.wheel)

REPORT = f'''
import importlib, json, sys, eyewear
for o in {LIGHT_MODULES}: importlib.import_module('eyewear.'+o)
from eyewear.data.dataset import Dataset
from eyewear.page.launch import page_notebook
from eyewear.page.review import Review
from eyewear.predict import Classifier
res = Classifier('eyewear.onnx')('portrait.jpg')
ds = Dataset.create(sys.argv[1])
ds.add(open('portrait.jpg', 'rb').read(), res.label, source='made up')
review = Review(ds, [dict(name=ds.files()[0].name, reason='odd')])
print(json.dumps(dict(label=res.label, prob=res.prob, version=eyewear.__version__, file=eyewear.__file__,
    heavy=[o for o in ('torch', 'fastai', 'timm') if o in sys.modules], review=type(review).__name__, app=str(page_notebook()))))'''

def report(installed, dataset):
    "What the installed package answers in a process of its own: every light room, a dataset, a review"
    res = installed.run(installed.python, '-c', REPORT, dataset)
    assert res.returncode == 0, res.stderr
    answer = json.loads(res.stdout.splitlines()[-1])
    package = Path(answer['file']).parent
    assert installed.folder in package.parents
    assert answer['app'] == str(package/'page'/'static'/'app.ipynb')
    assert not [o for o in STATIC if not (package.parent/o).is_file()]
    return answer

def test_wheel_answers_without_torch(installed):
    answer = report(installed, 'one')
    assert (answer['label'], answer['review'], answer['heavy']) == ('VR', 'Review', [])
    assert answer['prob'] > .9
    assert answer['version'] == cfg['version']
    packages = {o.name.split('-')[0] for o in installed.folder.glob('venv/lib/*/site-packages/*.dist-info')}
    assert {'eyewear', 'onnxruntime', 'voila'} <= packages
    assert not {'torch', 'fastai', 'jupyterlab', 'onnx'} & packages

@pytest.mark.parametrize('script', SCRIPTS)
def test_script_gives_help_and_names_what_is_missing(installed, script):
    path = installed.python.parent/script
    res = installed.run(path, '--help')
    assert res.returncode == 0, res.stderr
    assert f'usage: {script}' in res.stdout
    if script.removeprefix('eyewear-') not in HEAVY: return
    res = installed.run(path)
    [line] = res.stderr.splitlines()
    assert res.returncode == 2
    assert line.startswith('eyewear: ') and 'fastai' in line and "run `pip install 'eyewear[tutorial]'`" in line

def test_source_installs_the_same(installed, dist):
    "From the source archive, in the place of the wheel: the same files, the same answer"
    package = Path(report(installed, 'two')['file']).parent
    def files():
        found = [f for f in package.rglob('*') if f.is_file() and f.suffix != '.pyc']
        return {str(f.relative_to(package)): f.read_bytes() for f in found}
    before = files()
    shutil.rmtree(package)
    pins = '--build-constraints', ROOT/make.PINS
    installed.install('--no-deps', '--reinstall-package', 'eyewear', *pins, dist.sdist)
    assert files() == before
    assert report(installed, 'three')['label'] == 'VR'
