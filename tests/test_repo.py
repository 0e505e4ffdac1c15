"The repository around the code: metadata, links, the site, pinned versions, what `make` does, workflows."
import ast, json, os, re, shutil, subprocess, symtable, sys, time
from configparser import ConfigParser
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType, SimpleNamespace
import pytest, tomllib, yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from localhost import host

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT/'.ci'))
import links
import make

cfg = ConfigParser(delimiters=['='])
cfg.read(ROOT/'settings.ini')
cfg = cfg['DEFAULT']
REQS = {k: v.split() for k, v in cfg.items() if k.endswith('requirements')}
SCRIPTS = dict(o.split('=') for o in cfg['console_scripts'].split())
MODULES = sorted(str(f.relative_to(ROOT/'eyewear').with_suffix('')) for f in (ROOT/'eyewear').rglob('[a-z]*.py'))
LESSONS = sorted((ROOT/'nbs').glob('0[1-6]*.ipynb'))

OWNER = '/'.join(cfg['git_url'].split('/')[-2:])
GIT = 'git', '-c', 'user.name=a', '-c', 'user.email=a@b.c', '-c', 'init.defaultBranch=main'

def text(name): return (ROOT/name).read_text(encoding='utf8')
def read_notebook(path): return json.loads(Path(path).read_text(encoding='utf8'))
def code_cells(path): return [c for c in read_notebook(path)['cells'] if c['cell_type'] == 'code']

def prose(path):
    "The text of a page or a notebook, without code cells"
    if path.suffix == '.md': return path.read_text(encoding='utf8')
    return '\n\n'.join(links.source(c) for c in read_notebook(path)['cells'] if c['cell_type'] == 'markdown')

def copy(to):
    "What git would carry, at `to`"
    names = subprocess.check_output(['git', 'ls-files', '-co', '--exclude-standard', '-z'], cwd=ROOT, text=True)
    for name in filter(None, names.split('\0')):
        if not (ROOT/name).is_file(): continue
        (to/name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT/name, to/name)
    return to

def commit_all(folder):
    "A git repository of what is in `folder`"
    for o in (['init', '-q'], ['add', '-A'], ['commit', '-qm', 'a']): subprocess.run([*GIT, *o], cwd=folder, check=True)

# -- Metadata

def test_metadata_is_that_of_settings():
    assert tomllib.loads(text('pyproject.toml'))['project']['name'] == cfg['lib_name']
    dist = distribution(cfg['lib_name'])
    assert (dist.version, dist.metadata['Summary']) == (cfg['version'], cfg['description'])
    required = {canonicalize_name(Requirement(o).name) for o in dist.requires if 'extra' not in o}
    assert required == {canonicalize_name(Requirement(o).name) for o in REQS['requirements']}
    assert {o.name: o.value for o in dist.entry_points} == {k: v.replace('=', ':') for k, v in SCRIPTS.items()}

def test_changelog_has_this_version(): assert f"## {cfg['version']}\n" in text('CHANGELOG.md')

# -- Notebooks

@pytest.mark.parametrize('path', sorted(ROOT.glob('nbs/**/[!.]*.ipynb')), ids=lambda o: o.stem)
def test_notebook_is_small_and_without_warnings(path):
    assert path.stat().st_size <= 300_000
    outputs = [(c['id'], o) for c in code_cells(path) for o in c['outputs']]
    assert not [cell_id for cell_id, o in outputs if o.get('name') == 'stderr']

def test_notebooks_are_in_style():
    "`chkstyle` finds nothing"
    cmd = [Path(sys.executable).parent/'chkstyle', 'nbs', '--show-rule']
    res = subprocess.run(cmd, cwd=ROOT, capture_output=True, text=True)
    assert res.returncode == 0, res.stdout+res.stderr

# -- `make links`

def test_links_follow_settings(tmp_path):
    assert links.write_links(copy(tmp_path)) == []
    lessons = {f: read_notebook(f) for f in (tmp_path/'nbs').glob('0[1-6]*.ipynb')}
    settings = tmp_path/'settings.ini'
    moved = settings.read_text().replace(cfg['git_url'], 'https://github.com/somebody/specs')
    settings.write_text(moved.replace('branch = main', 'branch = trunk'))
    changed = links.write_links(tmp_path)
    assert links.write_links(tmp_path) == []
    pages = {'pyproject.toml', 'README.md', 'CITATION.cff', 'nbs/index.ipynb'}
    assert set(changed) == pages | {str(f.relative_to(tmp_path)) for f in lessons}
    assert not [f for f in changed if OWNER in (tmp_path/f).read_text()]
    urls = tomllib.loads((tmp_path/'pyproject.toml').read_text())['project']['urls']
    assert urls == dict(Repository='https://github.com/somebody/specs', Documentation='https://somebody.github.io/specs')
    assert 'git clone https://github.com/somebody/specs ' in (tmp_path/'README.md').read_text()
    for f, old in lessons.items():
        new = read_notebook(f)
        assert f'somebody/specs/blob/trunk/nbs/{f.name}' in links.source(new['cells'][1])
        for c in (*old['cells'], *new['cells']):
            if links.BADGES in links.source(c) or links.INSTALL in links.source(c): c['source'] = []
        assert new == old

def test_address_is_written_by_make_links_alone(tmp_path):
    generated = r'settings\.ini|pyproject\.toml|README\.md|CITATION\.cff|nbs/(0[1-6]\w+|index)\.ipynb|eyewear/[\w/]+\.py'
    files = [f for f in copy(tmp_path).rglob('*') if f.is_file() and OWNER.encode() in f.read_bytes()]
    found = [str(f.relative_to(tmp_path)) for f in files]
    assert not [o for o in found if not re.fullmatch(generated, o)]

def test_readme_example_runs(tmp_path, monkeypatch):
    from PIL import Image
    from tinymodel import tiny_model
    tiny_model(tmp_path/'eyewear.onnx')
    Image.new('RGB', (64, 64), 'red').save(tmp_path/'portrait.jpg')
    monkeypatch.chdir(tmp_path)
    *setup, ask = re.search(r'```python\n(.+?)```', text('README.md'), re.S)[1].strip().splitlines()
    env = {}
    exec('\n'.join(setup), env)
    assert eval(ask, env).label == 'glasses'

# -- The site

SITE = yaml.safe_load(text('nbs/_quarto.yml'))
SIDEBAR = yaml.safe_load(text('nbs/sidebar.yml'))['website']['sidebar']['contents']
SERVED = {'app.ipynb', 'review.ipynb'}  # by Voila, not by the site
WINGS = [f'{o}*.{end}' for o in ('', 'data/', 'model/', 'page/') for end in ('ipynb', 'md')]
PAGES = sorted(str(f.relative_to(ROOT/'nbs')) for o in WINGS for f in (ROOT/'nbs').glob(o))
SITE_PAGES = [o for o in PAGES if o not in SERVED]

def sidebar_pages(items):
    "The pages of a sidebar, in order"
    for o in items:
        if isinstance(o, str): yield o
        elif 'section' in o: yield from sidebar_pages(o['contents'])
        else: yield o['href']

def test_sidebar_and_site_have_every_page_once():
    order = list(sidebar_pages(SIDEBAR))
    assert sorted(order) == SITE_PAGES
    assert order[:7] == ['index.ipynb', *(f.name for f in LESSONS)]
    assert SITE['metadata-files'] == ['nbdev.yml', 'sidebar.yml']
    render = SITE['project']['render']
    shown = {str(f.relative_to(ROOT/'nbs')) for o in render if o[0] != '!' for f in (ROOT/'nbs').glob(o)}
    hidden = {o[1:] for o in render if o[0] == '!'}
    assert (hidden, shown-hidden) == (SERVED, set(SITE_PAGES))

def test_site_has_the_address_of_settings():
    "What nbdev reads in pyproject.toml, and where a module says that its documentation is"
    from nbdev.config import get_config
    conf = get_config(ROOT)
    assert (conf.git_url, conf.branch, conf.title) == (cfg['git_url'], cfg['branch'], cfg['lib_name'])
    docs = links.settings(ROOT)['docs']
    assert conf.doc_host+conf.doc_baseurl == docs
    assert f'{docs}/data/duplicates.html' in text('eyewear/data/duplicates.py')

def runs_for_the_site(code):
    "nbdev-docs runs a cell by itself where it is exported or imports anything"
    if re.search(r'^#\| *(export|exec_doc)', code, re.M): return True
    if re.search(r'^#\| *eval: *false', code, re.M): return False
    return any(isinstance(o, (ast.Import, ast.ImportFrom)) for o in ast.walk(ast.parse(code)))

def bound_and_used(code):
    "Names that a cell defines, and those that it needs from other cells"
    top = symtable.symtable(code, 'cell', 'exec')
    bound = {o.get_name() for o in top.get_symbols() if o.is_assigned() or o.is_imported()}
    used, tables = set(), [top]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        used |= {o.get_name() for o in table.get_symbols() if o.is_referenced() and (table is top or o.is_global())}
    return bound, used-bound

@pytest.mark.parametrize('page', [o for o in SITE_PAGES if o.endswith('.ipynb')])
def test_cell_that_runs_for_the_site_needs_no_cell_that_does_not(page):
    "So imports have a cell of their own, apart from code that needs results of cells before"
    skipped_names, missing = set(), {}
    for c in code_cells(ROOT/'nbs'/page):
        code = links.source(c)
        if code.lstrip().startswith(('%', '!')): continue
        bound, used = bound_and_used(code)
        if not runs_for_the_site(code): skipped_names |= bound
        elif used & skipped_names: missing[c['id']] = used & skipped_names
        else: skipped_names -= bound
    assert not missing

def relative_links(path):
    "The links of a page that lead to a file"
    without_code = re.sub('```.*?```', '', prose(path), flags=re.S)
    targets = re.findall(r'\]\(([^)\s]+)|src="([^"]+)', without_code)
    return [o.split('#')[0] for pair in targets for o in pair if o and not re.match(r'https:|#|mailto:|data:', o)]

DOCS = [str(f.relative_to(ROOT)) for o in ('*.md', 'deploy/*.md') for f in ROOT.glob(o)]

@pytest.mark.parametrize('page', [*(f'nbs/{o}' for o in PAGES), *sorted(DOCS)])
def test_links_lead_to_a_file(page):
    "From the repository; links between pages are to the notebook, so that they hold there and on the site"
    assert not [o for o in relative_links(ROOT/page) if not (ROOT/page).parent.joinpath(o).exists()]

def test_site_leads_to_the_repository_for_what_is_not_on_it(tmp_path):
    copy(tmp_path)
    base = f"{cfg['git_url']}/blob/{cfg['branch']}"
    pages = {
        'index.html': ('..', '<a href="{}/deploy/README.md#x">a</a> <a href="hosts.html">b</a> <a href="../n.md">c</a>'),
        'page/server.html': ('../..', '<a href="{}/Makefile">a</a> <a href="../index.html">b</a>'),
        'hosts.html.md': ('..', '[a]({}/settings.ini) [b](people.md)')}
    for name, (root, page) in pages.items():
        path = tmp_path/'_docs'/name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page.format(root))
    assert sorted(links.leave_site(tmp_path)) == sorted(f'_docs/{o}' for o in pages)
    for name, (_, page) in pages.items(): assert (tmp_path/'_docs'/name).read_text() == page.format(base)

# -- The install cell of a lesson

TORCH = {'torch': '2.9.0+cu126', 'torchvision': '0.24.0+cu126', 'numpy': '2.0.2'}

@pytest.fixture
def install_cells(monkeypatch):
    "Run the install cell of every lesson on a machine with the distributions `have`; the commands that they call"
    for k in list(os.environ):
        if k.startswith('PAPERSPACE_'): monkeypatch.delenv(k)
    def run(have, colab=False, **env):
        calls = []
        found = [SimpleNamespace(name=k, version=v) for k, v in have.items()]
        monkeypatch.setattr('importlib.metadata.distributions', lambda: found)
        monkeypatch.setattr(subprocess, 'check_call', calls.append)
        for k, v in env.items(): monkeypatch.setenv(k, v)
        if colab: monkeypatch.setitem(sys.modules, 'google.colab', ModuleType('google.colab'))
        else: monkeypatch.delitem(sys.modules, 'google.colab', raising=False)
        for f in LESSONS: exec(links.source(code_cells(f)[0]), {})
        return calls
    return run

def test_install_cell_does_nothing_at_home_or_where_all_is_installed(install_cells):
    assert install_cells(TORCH) == []
    assert install_cells({**TORCH, 'eyewear': '0.1.0', 'dicebear-core': '10'}, colab=True) == []

@pytest.mark.parametrize('host', [dict(colab=True), dict(PAPERSPACE_FQDN='x')])
def test_install_cell_on_a_host(install_cells, host):
    package = f"{cfg['lib_name']}[tutorial] @ git+{cfg['git_url']}"
    packages = package, 'torch==2.9.0+cu126', 'torchvision==0.24.0+cu126'
    assert install_cells(TORCH, **host) == [[sys.executable, '-m', 'pip', 'install', '-q', *packages]]*len(LESSONS)

# -- Pinned versions

def pins(name):
    lines = text(name).splitlines()
    odd = [l for l in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[\w.+!]+( ; [\w\s.'<>=!()]+)?", l)]
    assert not odd  # no index, host or path of the machine that made them
    return {canonicalize_name(l.split('==')[0]): l.split('==')[1].split()[0] for l in lines}

@pytest.mark.parametrize('name,kinds', [(make.PINS, REQS), (make.LIGHT_PINS, ['requirements'])])
def test_every_requirement_is_pinned(name, kinds):
    pinned = pins(name)
    for req in (Requirement(o) for kind in kinds for o in REQS[kind]):
        assert req.specifier.contains(pinned[canonicalize_name(req.name)])

def test_no_upper_bounds_but_that_of_python():
    assert not [o for reqs in REQS.values() for o in reqs if not re.fullmatch(r'[\w\[\]-]+(>=[\d.]+)?', o)]

def test_the_two_environments():
    full, light = pins(make.PINS), pins(make.LIGHT_PINS)
    assert (full['ipywidgets'][:2], light['ipywidgets'][:2]) == ('7.', '8.')
    assert set(make.LIGHT_TOOLS) <= set(light)
    assert not {'torch', 'torchvision', 'fastai', 'timm', 'fastbook'} & set(light)

def test_conda_installs_the_same():
    env = yaml.safe_load(text('environment.yml'))
    assert env['dependencies'][-1]['pip'] == [f'-c {make.PINS}', '-e .[tutorial]']
    major, minor = make.PYTHONS[1]
    assert f"python>={cfg['min_python']},<{major}.{minor+1}" in env['dependencies']

# -- make

TARGETS = [f.__name__ for f in make.TARGETS]

def test_make_lists_its_targets():
    out = subprocess.check_output(['make', '--no-print-directory'], cwd=ROOT, text=True)
    assert [l.split()[1] for l in out.splitlines()] == TARGETS
    dry_run = subprocess.run(['make', '-n', *TARGETS], cwd=ROOT, capture_output=True, text=True)
    assert dry_run.returncode == 0, dry_run.stderr

@pytest.fixture
def calls(monkeypatch, tmp_path):
    "`make` on a machine of its own; what it would run"
    calls = []
    def add_call(*cmd, **kw): calls.append([str(o) for o in cmd])
    def fake_venv(path):
        (path/'bin').mkdir(parents=True, exist_ok=True)
        (path/'bin'/'uv').touch()
    for name in ('VENV', 'LIGHT'): monkeypatch.setattr(make, name, tmp_path/name)
    for name in ('SOURCE', 'LIMIT', 'LABELS', 'PORT', 'SERVE', 'TORCH_BACKEND'): monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(make, 'call', add_call)
    monkeypatch.setattr(make, 'make_venv', fake_venv)
    monkeypatch.setattr(make.os, 'execv', lambda path, argv: calls.append(argv))
    monkeypatch.setattr(make.os, 'chdir', lambda path: None)
    monkeypatch.setattr(make.shutil, 'disk_usage', lambda path: SimpleNamespace(free=50e9))
    monkeypatch.setattr(make, 'TORCH_HOST', 'http://127.0.0.1:9/')  # nobody answers there
    monkeypatch.setattr(make, 'has_nvidia', lambda: False)
    on_machine(monkeypatch, 'Linux', 'x86_64', '')
    return calls

def on_machine(monkeypatch, system, machine, mac_version):
    monkeypatch.setattr(make.platform, 'system', lambda: system)
    monkeypatch.setattr(make.platform, 'machine', lambda: machine)
    monkeypatch.setattr(make.platform, 'mac_ver', lambda: (mac_version,))

def stop_message(capsys, f, *args):
    "The one line that `f` stops with"
    with pytest.raises(SystemExit) as e: f(*args)
    line, = capsys.readouterr().err.splitlines()
    assert e.value.code == 2
    return line

@pytest.mark.parametrize('machine', [
    ('Windows', 'AMD64', ''), ('Darwin', 'x86_64', '14.1'), ('Darwin', 'arm64', '13.6'), ('Linux', 'riscv64', '')])
def test_machine_without_packages_is_a_line(calls, monkeypatch, capsys, machine):
    on_machine(monkeypatch, *machine)
    assert 'needs ' in stop_message(capsys, make.run)
    assert not calls

@pytest.mark.parametrize('machine', [('Linux', 'aarch64', ''), ('Darwin', 'arm64', '14.0'), ('Darwin', 'arm64', '26.1')])
def test_machine_with_packages_installs_and_runs(calls, monkeypatch, machine):
    on_machine(monkeypatch, *machine)
    make.run()
    assert len(calls) == 2

def test_python_that_will_do_is_found(monkeypatch, capsys):
    assert make.version_of(sys.executable) == (*sys.version_info[:2], 1)
    assert make.version_of('no-such-python') is None
    for version, words in (((3,10,1), 'needs Python 3.11, 3.12 or 3.13'), ((3,12,0), 'python3.12-venv')):
        monkeypatch.setattr(make, 'version_of', lambda o: version)
        assert words in stop_message(capsys, make.find_python)
    monkeypatch.setattr(make, 'version_of', lambda o: (3,13,1) if o == 'python3.13' else None)
    assert make.find_python() == 'python3.13'

def test_old_python_can_read_it():
    for name in ('make.py', 'links.py'): ast.parse(text(f'.ci/{name}'), feature_version=(3,7))

def test_disk_is_checked(calls, monkeypatch, capsys):
    monkeypatch.setattr(make.shutil, 'disk_usage', lambda path: SimpleNamespace(free=5e9))
    assert '7.8 GB of free disk' in stop_message(capsys, make.run)
    assert not calls
    monkeypatch.setenv('TORCH_BACKEND', 'cpu')
    make.run()
    assert len(calls) == 2

def test_run_installs_once(calls, monkeypatch, tmp_path):
    monkeypatch.setattr(make, 'ROOT', copy(tmp_path/'repo'))
    for _ in range(2): make.run()
    install, *starts = calls
    assert (install[1:3], install[-1]) == (['pip', 'install'], '.[tutorial]')
    assert install[install.index('-c')+1] == make.PINS
    assert starts == [['eyewear-run']]*2
    for name in ('settings.ini', 'setup.py', 'pyproject.toml', make.PINS):
        calls.clear()
        with open(tmp_path/'repo'/name, 'a') as f: f.write('\n')
        for _ in range(2): make.run()
        assert [o[0] for o in calls] == [str(make.VENV/'bin'/'uv'), 'eyewear-run', 'eyewear-run']

def test_more_extras_are_added(calls):
    for extras in (['tutorial'], ['tutorial', 'dev'], ['tutorial'], ['dev']): make.setup(*extras)
    assert [o[-1] for o in calls] == ['.[tutorial]', '.[dev,tutorial]']

CPU = ['--torch-backend', 'cpu']
BOTH_ANEW = [*CPU, '--reinstall-package', 'torch', '--reinstall-package', 'torchvision']  # both from the same index

def test_torch_backend_is_kept(calls, monkeypatch):
    for backend, extra in (('', 'tutorial'), ('cpu', 'tutorial'), ('', 'tutorial'), ('', 'dev')):
        monkeypatch.setenv('TORCH_BACKEND', backend)
        make.setup(extra)
    first, with_backend, dev = calls
    assert '--torch-backend' not in first
    assert with_backend[-8:-2] == BOTH_ANEW
    assert dev[-4:-2] == CPU

@pytest.mark.parametrize('system,nvidia,asked', [('Linux', False, 1), ('Linux', True, 0), ('Darwin', False, 0)])
def test_cpu_build_of_torch_where_no_gpu_could_use_another(calls, monkeypatch, system, nvidia, asked):
    on_machine(monkeypatch, system, 'arm64' if system == 'Darwin' else 'x86_64', '14.0')
    monkeypatch.setattr(make, 'has_nvidia', lambda: nvidia)
    with host(b'torch') as h:
        monkeypatch.setattr(make, 'TORCH_HOST', h.url)
        for _ in range(2): make.run()
    assert len(h.asked) == asked
    assert [('cpu' in o) for o in calls if 'install' in o] == [asked == 1]

def test_host_that_is_slow_or_gone_counts_as_none():
    with host(lambda handler: time.sleep(2)) as h: assert not make.answers(h.url, patience=.2)
    assert not make.answers(h.url)

def test_failed_install_is_done_again(calls, monkeypatch, capsys):
    def fail(*cmd, **kw): raise SystemExit(1)
    make.setup('tutorial')
    monkeypatch.setenv('TORCH_BACKEND', 'cpu')
    with monkeypatch.context() as m, pytest.raises(SystemExit):
        m.setattr(make, 'call', fail)
        make.setup('tutorial')
    assert 'TORCH_BACKEND needs' in capsys.readouterr().err
    make.setup('tutorial')
    assert [o[-8:-2] for o in calls[1:]] == [BOTH_ANEW]

def test_run_passes_what_was_given(calls, monkeypatch):
    given = dict(SOURCE='/my photos', LIMIT='20', LABELS='cups,plates', PORT='0', SERVE='0')
    for k, v in given.items(): monkeypatch.setenv(k, v)
    make.run()
    options = [o for k, v in given.items() for o in ('--'+k.lower(), v)]
    assert calls[-1] == ['eyewear-run', *options]

def test_environment_made_elsewhere_is_made_again(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(make, 'call', lambda *cmd, **kw: calls.append(cmd))
    monkeypatch.setattr(make, 'version_of', lambda o: (3,11,1))
    for path, made in ((tmp_path, []), ('/elsewhere/.venv', [('--clear', tmp_path)])):
        (tmp_path/'pyvenv.cfg').write_text(f'home = /usr/bin\ncommand = /usr/bin/python3 -m venv {path}\n')
        make.make_venv(tmp_path)
        assert [o[-2:] for o in calls] == made

@pytest.mark.parametrize('rc', [1, 5])  # 5: pytest found no test
def test_failures_are_passed_on(rc):
    with pytest.raises(SystemExit) as e: make.call(sys.executable, '-c', f'raise SystemExit({rc})')
    assert e.value.code == rc

def test_change_by_a_tool_is_a_failure(monkeypatch, tmp_path, capsys):
    nb = tmp_path/'nbs'/'a.ipynb'
    nb.parent.mkdir()
    nb.write_text('{}')
    for k, v in dict(ROOT=tmp_path, links=lambda: None, call=lambda *cmd: None).items(): monkeypatch.setattr(make, k, v)
    make.in_step()
    monkeypatch.setattr(make, 'call', lambda *cmd: nb.write_text('{ }'))
    assert 'nbs/a.ipynb' in stop_message(capsys, make.in_step)

def test_every_notebook_is_run_by_one_of_two(monkeypatch, tmp_path):
    "The lessons, and all others, each with a home of its own"
    runs = {}
    def add_run(*cmd, env): runs[cmd[-2]] = cmd[-1], env['EYEWEAR_HOME']
    monkeypatch.setattr(make, 'call', add_run)
    make.notebooks(tmp_path)
    (lessons, home), (skipped, other_home) = runs['--file-re'], runs['--skip-file-re']
    assert home != other_home
    for f in ROOT.glob('nbs/**/[!_.]*.ipynb'):
        by_one_alone = {bool(re.search(lessons, f.name)), not re.search(skipped, f.name)}
        assert by_one_alone == {True, False}

@pytest.mark.parametrize('system,folder,end', [('Linux', 'bin', ''), ('Darwin', 'bin', ''), ('Windows', 'Scripts', '.exe')])
def test_light_runs_everywhere(calls, monkeypatch, system, folder, end):
    "The light part asks for no machine that torch has packages for"
    monkeypatch.setattr(make.platform, 'system', lambda: system)
    make.light()
    *_, install, tests = calls
    assert (install[0], tests[0]) == (str(make.VENV/folder/f'uv{end}'), str(make.LIGHT/folder/f'pytest{end}'))
    assert install[install.index('--python')+1] == str(make.LIGHT/folder/f'python{end}')
    assert '.' in install
    names = {Path(o).name for o in tests}
    assert {'test_app.py', 'test_photo.py', 'test_predict.py', 'test_dataset.py', 'test_review.py'} <= names
    assert 'test_train.py' not in names

def test_no_test_of_the_light_part_is_a_failure(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(make, 'ROOT', tmp_path)
    assert 'no test' in stop_message(capsys, make.light_tests)

def test_audit_asks_for_both_installations(calls):
    make.audit()
    assert '--strict' in calls[-1]  # else what pip-audit cannot find passes
    assert calls[-1][-4:] == ['-r', make.PINS, '-r', make.LIGHT_PINS]

def test_docs_need_quarto(calls, monkeypatch, capsys):
    monkeypatch.setattr(make.shutil, 'which', lambda name: None)
    assert 'needs Quarto' in stop_message(capsys, make.docs)
    assert not calls
    monkeypatch.setattr(make.shutil, 'which', lambda name: '/usr/bin/quarto')
    monkeypatch.setattr(links, 'leave_site', calls.append)
    make.docs()
    assert calls[-2:] == [[str(make.VENV/'bin'/'nbdev-docs')], ROOT]

@pytest.fixture
def git(tmp_path, monkeypatch):
    "git in a copy of the repository, for a shell that knows nothing of the environment"
    repo, home = copy(tmp_path/'repo'), tmp_path/'home'
    home.mkdir()
    env = dict(HOME=home, PATH='/usr/bin:/bin', GIT_CONFIG_GLOBAL=home/'.gitconfig')
    for k, v in env.items(): monkeypatch.setenv(k, str(v))
    for k in ('XDG_CONFIG_HOME', 'JUPYTER_CONFIG_DIR'): monkeypatch.delenv(k, raising=False)
    def git(*args): return subprocess.run([*GIT, *args], cwd=repo, capture_output=True, text=True)
    git.repo, git.home = repo, home
    commit_all(repo)
    return git

def test_hooks_merge_notebooks(monkeypatch, git):
    "Two people change the same cell: what git leaves is a notebook that opens"
    env = dict(ROOT=git.repo, VENV=Path(sys.prefix), setup=lambda *extras: None)
    for k, v in env.items(): monkeypatch.setattr(make, k, v)
    make.hooks()
    assert git('status', '--porcelain').stdout == ''
    assert git('config', 'merge.jupyternotebook.driver').stdout.startswith(f'"{sys.prefix}')
    path = git.repo/'nbs'/'data'/'duplicates.ipynb'
    for branch in ('one', 'two'):
        git('checkout', '-qb', branch, 'main')
        nb = read_notebook(path)
        nb['cells'][1]['source'][-1] += f'\n# {branch}'
        path.write_text(json.dumps(nb, indent=1, ensure_ascii=False)+'\n', encoding='utf8')
        assert git('commit', '-qam', branch).returncode == 0
    merged = git('merge', 'one')
    assert 'not found' not in merged.stdout+merged.stderr
    sources = '\n'.join(links.source(c) for c in read_notebook(path)['cells'])
    assert '# one' in sources and '# two' in sources
    assert 'conflict marker' not in git('diff', '--check').stdout
    assert 'pre_save_hook' in (git.home/'.jupyter'/'jupyter_server_config.py').read_text()

@pytest.mark.parametrize('had_venv', [False, True])
def test_ci_passes_the_status_on(tmp_path, had_venv):
    shutil.copytree(ROOT/'.ci', tmp_path/'.ci')
    (tmp_path/'Makefile').write_text('test:\n\t@test ! -e .venv && echo "$$PYTHONPATH|made it" && exit $(RC)\n')
    (tmp_path/'.gitignore').write_text('.venv\n')
    commit_all(tmp_path)
    if had_venv: (tmp_path/'.venv').mkdir()
    for rc in ('0', '5'):
        env = dict(os.environ, RC=rc, PYTHONPATH='/by/hand')
        res = subprocess.run(['bash', '.ci/run'], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert '|made it' in res.stdout and '/by/hand' not in res.stdout, res.stderr
        assert (res.returncode == 0) == (rc == '0')
    assert [(tmp_path/o).exists() for o in ('.venv', 'build/ci')] == [had_venv, False]

# -- Workflows

WORKFLOWS = sorted((ROOT/'.github'/'workflows').glob('*.yaml'))
FLOWS = {f.stem: yaml.safe_load(f.read_text(encoding='utf8')) for f in WORKFLOWS}
JOBS = {f'{flow}/{name}': job for flow, body in FLOWS.items() for name, job in body['jobs'].items()}
PERMISSIONS = {  # of a job that may more than read
    'docs/deploy': {'pages': 'write', 'id-token': 'write'},
    'weekly/report': {'issues': 'write'},
    'release/publish': {'id-token': 'write'}}

def commands(job): return [o['run'] for o in JOBS[job]['steps'] if 'run' in o]

@pytest.mark.parametrize('flow', FLOWS)
def test_workflow_only_reads(flow): assert FLOWS[flow]['permissions'] == {'contents': 'read'}

@pytest.mark.parametrize('job', JOBS)
def test_job_calls_make_with_few_rights(job):
    assert JOBS[job].get('permissions') == PERMISSIONS.get(job)
    assert JOBS[job]['timeout-minutes'] <= 90
    for step in JOBS[job]['steps']:
        if step.get('uses', '').startswith('actions/checkout'): assert step['with'] == {'persist-credentials': False}
    for command in commands(job):
        targets = re.findall(r'^(?:make|python \.ci/make\.py) (\w+)', command, re.M)
        assert set(targets) <= set(TARGETS)
        assert '${{' not in command  # text of strangers never becomes part of a script

def test_workflows_run_on_every_python_and_system():
    pythons = [f'3.{i}' for i in range(make.PYTHONS[0][1], make.PYTHONS[1][1]+1)]
    light = JOBS['test/light']['strategy']['matrix']
    assert light['python'] == pythons
    assert {o.split('-')[0] for o in light['os']} == {'ubuntu', 'macos', 'windows'}
    full = JOBS['test/everything']['strategy']['matrix']['include']
    assert [o['python'] for o in full if o['os'] == 'ubuntu-24.04'] == pythons
    assert any(o['os'].startswith('macos') for o in full)
    assert commands('test/light')+commands('test/everything') == ['python .ci/make.py light', 'bash .ci/run']

@pytest.mark.parametrize('open_issue,call', [('', 'create --title It broke'), ('12', 'comment 12')])
def test_weekly_run_that_breaks_opens_one_issue(tmp_path, open_issue, call):
    gh = tmp_path/'gh'
    gh.write_text('#!/bin/sh\necho "$@" >> "$LOG"\n[ "$2" != list ] || echo "$FOUND"\n')
    gh.chmod(0o755)
    env = dict(PATH=f'{tmp_path}:{os.environ["PATH"]}', LOG=str(tmp_path/'log'), FOUND=open_issue)
    env |= dict(TITLE='It broke', BODY='this; `run`')
    subprocess.run(['bash', '-e', '-c', commands('weekly/report')[0]], env=env, check=True)
    assert (tmp_path/'log').read_text().splitlines()[1:] == [f'issue {call} --body this; `run`']

@pytest.mark.parametrize('tag,good', [(f"v{cfg['version']}", True), ('v99.0', False), ('v0.1', False)])
def test_release_is_of_the_version_that_the_tag_names(tag, good):
    env = dict(os.environ, GITHUB_REF_NAME=tag)
    res = subprocess.run(['bash', '-ec', commands('release/build')[0]], cwd=ROOT, env=env)
    assert (res.returncode == 0) == good
