"What the Makefile's targets do. Standard library only, in the syntax of Python 3.7: it runs before anything is installed."
import hashlib, json, os, platform, shutil, signal, subprocess, sys, tempfile, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT/'.venv'
LIGHT = ROOT/'.venv-light'
PINS = 'constraints/full.txt'
LIGHT_PINS = 'constraints/light.txt'
PYTHONS = (3,11), (3,13)                            # oldest and newest that the pinned versions are tested with
MACHINES = 'Linux x86_64', 'Linux aarch64', 'Darwin arm64'
SIZES = {'Linux': 6.8, 'Darwin': 2.0, 'cpu': 2.1}   # GB in .venv; on Linux the index's torch brings CUDA
TORCH_HOST = 'https://download.pytorch.org/whl/cpu/torch/'  # where the CPU build of torch comes from
LIGHT_TOOLS = 'pytest', 'pytest-xdist', 'playwright', 'axe-playwright-python', 'onnx'  # for tests of the light part

def stop(msg):
    "End with one line"
    print('eyewear: '+msg, file=sys.stderr)
    sys.exit(2)

def call(*cmd, **kw):
    "Run `cmd` at the repository root, its output shown, and end with its status where it fails"
    rc = subprocess.call([str(o) for o in cmd], cwd=str(ROOT), **kw)
    if rc: sys.exit(rc)

def script(name, venv=None):
    "Path of a script of an environment, .venv if none is named"
    folder, end = ('Scripts', '.exe') if platform.system() == 'Windows' else ('bin', '')
    return (venv or VENV)/folder/(name+end)

def become(name, *args):
    "Hand this process over to the environment's script `name`, so that Ctrl-C reaches it alone"
    os.chdir(str(ROOT))
    os.execv(str(script(name)), [name, *args])

# -- Set-up

def check_machine():
    "One line, and out, on a machine that the pinned versions have no packages for"
    here = platform.system()+' '+platform.machine()
    if here not in MACHINES:
        stop(f'needs Linux (x86_64, arm64) or macOS 14+ (Apple silicon), this is {here}; see the README for others')
    if not here.startswith('Darwin'): return
    version = platform.mac_ver()[0] or '14'
    if int(version.split('.')[0]) < 14: stop(f'needs macOS 14 or newer, this is {version}')

def version_of(python):
    "(major, minor, has venv) of the interpreter `python`, or `None`"
    code = 'import sys, importlib.util as u; print(*sys.version_info[:2], int(all(map(u.find_spec, {}))))'
    cmd = [str(python), '-c', code.format(['venv', 'ensurepip'])]
    try: return tuple(map(int, subprocess.check_output(cmd, stderr=subprocess.DEVNULL).split()))
    except (OSError, ValueError, subprocess.CalledProcessError): return None

def tested(v): return v and PYTHONS[0] <= v[:2] <= PYTHONS[1]

def find_python():
    "The Python that runs this where it will do, else one on PATH that will"
    found = {name: version_of(name) for name in (sys.executable, 'python3.13', 'python3.12', 'python3.11')}
    for name, v in found.items():
        if tested(v) and v[2]: return name
    for name, v in found.items():
        if tested(v): stop(f'{name} has no venv: install it (Debian, Ubuntu: apt-get install python{v[0]}.{v[1]}-venv)')
    here = '{}.{}'.format(*sys.version_info)
    hint = 'install one, or name it: make run PYTHON=/path/to/python3.12'
    stop(f'needs Python 3.11, 3.12 or 3.13, this is {here}; {hint}')

def make_venv(path):
    "A virtual environment at `path`, made again where it was made elsewhere or its Python is gone"
    cfg = path/'pyvenv.cfg'
    lines = cfg.read_text().splitlines() if cfg.exists() else []
    made_by = [l for l in lines if l.startswith('command =')]
    moved = made_by and not made_by[0].endswith(' '+str(path))
    if moved or not tested(version_of(script('python', path))): call(find_python(), '-m', 'venv', '--clear', path)

def uv(*args):
    "Run uv, which pip brings into the environment"
    pip = script('python'), '-m', 'pip', 'install', '-q', '--disable-pip-version-check'
    if not script('uv').exists(): call(*pip, '-c', PINS, 'uv')
    call(script('uv'), *args, env=dict({'UV_HTTP_TIMEOUT': '180'}, **os.environ))

def check_disk(size):
    "Say how much will be installed, and end where it does not fit"
    free = shutil.disk_usage(str(ROOT)).free/1e9
    hint = '; TORCH_BACKEND=cpu brings 2.1 GB instead' if size > 6 else ''
    print(f'eyewear: installs about {size} GB into .venv, once ({free:.0f} GB free{hint})', flush=True)
    if free < size+1: stop(f'{size+1:.1f} GB of free disk are needed at {ROOT}, {free:.1f} GB are there')

def answers(url, patience=3):
    "Does the host of `url` answer within `patience` seconds? A name that is slow to resolve counts as no"
    found = []
    def ask():
        try: urlopen(url, timeout=patience).close()
        except (OSError, ValueError): return
        found.append(url)
    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(patience)
    return bool(found)

def has_torch(): return bool(list(VENV.glob('lib/*/site-packages/torch')))

def has_nvidia(): return bool(shutil.which('nvidia-smi')) or Path('/dev/nvidia0').exists()

def torch_backend(had):
    "Which build of torch: TORCH_BACKEND, else the one that is installed, else the CPU's where no NVIDIA GPU could use another"
    backend = os.environ.get('TORCH_BACKEND') or had
    if backend or has_torch() or platform.system() != 'Linux' or has_nvidia(): return backend
    return 'cpu' if answers(TORCH_HOST) else ''

def digest_of(*files):
    "Digest of what an installation depends on"
    return hashlib.sha256(b'\0'.join((ROOT/f).read_bytes() for f in files)).hexdigest()

def setup(*extras):
    "Install the package with `extras` into .venv, unless that is what is there"
    check_machine()
    make_venv(VENV)
    stamp = VENV/'eyewear-installed.json'
    had = json.loads(stamp.read_text()) if stamp.exists() else dict(extras=[], backend='')
    want = dict(digest=digest_of('settings.ini', 'setup.py', 'pyproject.toml', PINS),
                extras=sorted({*extras, *had['extras']}), backend=torch_backend(had['backend']))
    if had == want: return
    if not has_torch():
        check_disk(SIZES['cpu' if want['backend'] == 'cpu' else platform.system()])
    cmd = ['pip', 'install', '--python', script('python'), '-c', PINS, '--reinstall-package', 'eyewear']
    if want['backend']: cmd += ['--torch-backend', want['backend']]
    if want['backend'] != had['backend']: cmd += ['--reinstall-package', 'torch', '--reinstall-package', 'torchvision']
    start = time.time()
    stamp.write_text(json.dumps(dict(had, digest='')))  # until it is done
    try: uv(*cmd, '-e', f'.[{",".join(want["extras"])}]')
    except SystemExit:
        hint = 'eyewear: TORCH_BACKEND needs a host of PyTorch; without one, leave it out'
        if want['backend']: print(hint, file=sys.stderr)
        raise
    stamp.write_text(json.dumps(want))
    print(f'eyewear: installed in {time.time()-start:.0f} s', flush=True)

def setup_light():
    "The package as a wheel, without extras, and what its tests need into .venv-light"
    make_venv(LIGHT)
    shutil.rmtree(str(ROOT/'build'/'lib'), ignore_errors=True)  # else modules that are gone would be packed again
    to = '--python', script('python', LIGHT), '-c', LIGHT_PINS
    uv('pip', 'install', '-q', *to, '--reinstall-package', 'eyewear', '.', *LIGHT_TOOLS)

# -- Targets

def run():
    "Install, run the lessons, open the app (SOURCE= LIMIT= LABELS= PORT= SERVE=0 TORCH_BACKEND=cpu)"
    setup('tutorial')
    given = [(k, os.environ.get(k)) for k in ('SOURCE', 'LIMIT', 'LABELS', 'PORT', 'SERVE')]
    become('eyewear-run', *(o for k, v in given if v for o in ('--'+k.lower(), v)))

def lab():
    "Install, open the lessons in JupyterLab"
    setup('tutorial')
    become('jupyter-lab', 'nbs')

MADE = 'README.md', 'CITATION.cff', 'pyproject.toml'  # by `make links`, in whole or in part

def in_step():
    "`make links`, cleaning and exporting change nothing"
    def contents():
        files = [*ROOT.glob('nbs/**/*.ipynb'), *ROOT.glob('eyewear/**/*.py'), *map(ROOT.joinpath, MADE)]
        return {str(f.relative_to(ROOT)): f.read_bytes() for f in files if f.exists()}
    before = contents()
    links()
    call(script('nbdev-clean'))
    call(script('nbdev-export'))
    after = contents()
    changed = sorted(f for f in {*before, *after} if before.get(f) != after.get(f))
    if changed:
        names = ', '.join(changed)
        stop(f'make links, nbdev-clean or nbdev-export changed {names}; look at the change, keep it, run again')

def clean_env(home, **kw):
    "The environment of this process without what would lead elsewhere, its data at `home`"
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH' and not k.startswith('EYEWEAR_')}
    return dict(env, MPLBACKEND='agg', EYEWEAR_HOME=str(home), **kw)

def notebooks(tmp):
    "Lessons one after the other, since each goes on with the data of the one before; the other notebooks beside them"
    cmd = script('nbdev-test'), '--n-workers', 1, '--do-print', '--timing'
    lessons = '^0[1-6]_'
    small = dict(EYEWEAR_SOURCE='practice', EYEWEAR_LIMIT='40')
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(call, *cmd, '--file-re', lessons, env=clean_env(tmp/'lessons', **small)),
                pool.submit(call, *cmd, '--skip-file-re', '^[_.]|'+lessons, env=clean_env(tmp/'rooms', **small))]
    for o in runs: o.result()

WIDGETS = 'page/test_review*', 'page/test_widgets*', 'test_app*'  # what ipywidgets 7 and 8 may show differently
LIGHT_PART = 'data/test_dataset*', 'page/test_*', 'test_core*', 'test_photo*', 'test_predict*', 'test_app*'
PYTEST = '-n', '2', '--dist', 'loadfile', '--no-loadscope-reorder', '--durations', '20'  # two files at a time: tests wait for browsers and clocks

def test():
    "Install, then everything: notebooks clean and in step, layers, notebooks, pytest, the app in a light environment"
    start, times = time.time(), []
    with tempfile.TemporaryDirectory(prefix='eyewear-') as tmp:
        tmp = Path(tmp)
        def light_part():
            setup_light()
            call(script('pytest', LIGHT), *PYTEST, *light_tests(WIDGETS), env=clean_env(tmp/'light'))
        steps = dict(
            install=lambda: setup('tutorial', 'dev'),
            in_step=in_step,
            layers=lambda: call(script('lint-imports'), '--no-logo', '--no-cache'),
            notebooks=lambda: notebooks(tmp),
            tests=lambda: call(script('pytest'), *PYTEST, env=clean_env(tmp/'tests', OMP_NUM_THREADS='1')),  # a core a worker
            light=light_part)
        for name, step in steps.items():
            print(f'\n== {name}', flush=True)
            t = time.time()
            step()
            times.append(f'{name} {time.time()-t:.0f} s')
    print(f'\neyewear: all passed in {time.time()-start:.0f} s ({", ".join(times)})')

def light():
    "The app alone, without torch: its tests in a light environment"
    make_venv(VENV)  # uv is installed there
    setup_light()
    with tempfile.TemporaryDirectory(prefix='eyewear-') as home:
        call(script('pytest', LIGHT), *PYTEST, *light_tests(), env=clean_env(home))

def light_tests(patterns=LIGHT_PART):
    "The test files of the light part"
    files = sorted(f for o in patterns for f in ROOT.glob(f'tests/{o}.py'))
    return files or stop('tests/ holds no test of the app')

def bench():
    "Install, measure each claim of speed (benchmarks/)"
    files = sorted(ROOT.glob('benchmarks/[a-z]*.py'))
    setup('tutorial', 'dev')
    for f in files: call(script('python'), f)

def lessons():
    "Install, run the lessons, keep their outputs in nbs/ and make the pictures of the docs"
    setup('tutorial', 'dev')
    signal.signal(signal.SIGINT, lambda *a: None)  # Ctrl-C is for the lessons to answer
    call(VENV/'bin'/'eyewear-run', '--serve', '0', '--save', '1')
    call(VENV/'bin'/'python', '.ci/pictures.py')

def lock():
    "Pin the newest versions (constraints/)"
    check_machine()
    make_venv(VENV)
    oldest = '.'.join(map(str, PYTHONS[0]))
    common = ['--universal', '--python-version', oldest, '--fork-strategy', 'fewest', '--upgrade',
              '--refresh-package', 'eyewear', '--no-header', '--no-annotate', '--quiet', 'pyproject.toml']
    uv('pip', 'compile', *common, '--extra', 'tutorial', '--extra', 'dev', '-o', PINS)
    tools = ROOT/'build'/'light-tools.txt'
    tools.parent.mkdir(exist_ok=True)
    tools.write_text('\n'.join(LIGHT_TOOLS)+'\n')
    uv('pip', 'compile', *common, tools, '-o', LIGHT_PINS)
    print(f'eyewear: {PINS} and {LIGHT_PINS} are written; make test says whether they hold')

def links():
    "Write badges, install cells and README.md from settings.ini and nbs/index.ipynb"
    sys.path.insert(0, str(ROOT/'.ci'))
    from links import write_links
    for f in write_links(ROOT): print(f'eyewear: wrote {f}')

def dist():
    "Build the package into dist/: as source and as wheel, with what PyPI asks of them checked"
    make_venv(VENV)
    shutil.rmtree(str(ROOT/'build'/'lib'), ignore_errors=True)
    uv('build', '-q', '--clear', '--python', script('python'), '--build-constraints', PINS)
    files = sorted((ROOT/'dist').glob('eyewear-*'))
    uv('tool', 'run', '-q', '--python', script('python'), '-c', PINS, 'twine', 'check', '--strict', *files)

def docs():
    "Install, make the site of the lessons and of the code in _docs/ (needs Quarto)"
    if not shutil.which('quarto'): stop('needs Quarto: https://quarto.org/docs/get-started/')
    setup('tutorial', 'dev')
    call(script('nbdev-docs'), env=dict(os.environ, PYTHONPATH=str(ROOT/'tests')))  # some rooms show its tiny models
    sys.path.insert(0, str(ROOT/'.ci'))
    from links import leave_site
    leave_site(ROOT)

def audit():
    "Ask whether vulnerabilities are known in the pinned versions"
    make_venv(VENV)
    tool = 'tool', 'run', '-q', '--python', script('python'), 'pip-audit'
    uv(*tool, '--strict', '--no-deps', '--disable-pip', '-r', PINS, '-r', LIGHT_PINS)

def licences():
    "Install, list the licences of all packages (CONTRIBUTING.md says which need a second look)"
    setup('tutorial', 'dev')
    uv('tool', 'run', '-q', '--python', script('python'), 'pip-licenses', '--python', script('python'))

def hooks():
    "Install, set git up for notebooks (nbdev's merge driver and clean hooks)"
    setup('tutorial', 'dev')
    call(script('nbdev-install-hooks'))
    def full_path(name): return '"{}"'.format(script(name).as_posix())  # found by a shell without .venv on its PATH
    merge = full_path('nbdev-merge')+' %O %A %B %P'
    diff = full_path('nbdev-diff-driver')
    call('git', 'config', '--file', '.gitconfig', 'merge.jupyternotebook.driver', merge)
    call('git', 'config', '--file', '.gitconfig', 'diff.jupyternotebook.command', diff)
    (ROOT/'.git'/'hooks'/'post-merge').write_text('#!/bin/sh\nexec {}\n'.format(full_path('nbdev-trust')))

def help():
    "This list"
    for f in TARGETS: print(f'make {f.__name__:8} {f.__doc__}')

TARGETS = help, run, lab, test, light, bench, lock, lessons, links, docs, audit, licences, dist, hooks

if __name__ == '__main__':
    try: {f.__name__: f for f in TARGETS}[sys.argv[1]]()
    except KeyboardInterrupt:
        print('\neyewear: stopped', file=sys.stderr)
        sys.exit(130)
