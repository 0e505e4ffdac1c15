"The repository around the code: metadata, links, pinned versions, set-up, packaging, deployment."
import ast, email, json, os, re, shutil, subprocess, symtable, sys
from configparser import ConfigParser
from datetime import date
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType, SimpleNamespace
import pytest, tomllib, yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name as norm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT/'.ci'))
import licences, links, make

cfg = ConfigParser(delimiters=['='])
cfg.read(ROOT/'settings.ini')
cfg = cfg['DEFAULT']
REQS = {k: v.split() for k, v in cfg.items() if k.endswith('requirements')}
SCRIPTS = dict(o.split('=') for o in cfg['console_scripts'].split())
LESSONS = 'download', 'clean', 'train', 'interpret', 'export', 'app'
MODULES = sorted(str(f.relative_to(ROOT/'eyewear').with_suffix('')) for f in (ROOT/'eyewear').rglob('[a-z]*.py'))

def text(name): return (ROOT/name).read_text(encoding='utf8')

def copy(to):
    "What git would carry, at `to`"
    names = subprocess.check_output(['git', 'ls-files', '-co', '--exclude-standard', '-z'], cwd=ROOT, text=True)
    for name in filter(None, names.split('\0')):
        if not (ROOT/name).is_file(): continue
        (to/name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT/name, to/name)
    return to

# -- Metadata

def test_metadata_is_that_of_settings():
    assert tomllib.loads(text('pyproject.toml'))['project']['name'] == cfg['lib_name']
    dist = distribution(cfg['lib_name'])
    assert dist.version == cfg['version'] and dist.metadata['Summary'] == cfg['description']
    here = {norm(Requirement(o).name) for o in dist.requires if 'extra' not in o}
    assert here == {norm(Requirement(o).name) for o in REQS['requirements']}
    assert {o.name: o.value for o in dist.entry_points} == {k: v.replace('=', ':') for k, v in SCRIPTS.items()}

@pytest.mark.parametrize('script', SCRIPTS)
def test_script_has_its_function(script):
    module, func = SCRIPTS[script].split(':')
    body = ast.parse(text(module.replace('.', '/')+'.py')).body
    assert func in [o.name for o in body if isinstance(o, ast.FunctionDef)]

def test_version_stands_in_settings_alone():
    assert 'version("eyewear")' in text('eyewear/__init__.py') and cfg['version'] not in text('setup.py')+text('pyproject.toml')

def test_changelog_tells_of_this_version(): assert f"## {cfg['version']}\n" in text('CHANGELOG.md')

def test_licence_is_whole():
    assert cfg['license'] == 'Apache-2.0'
    want = 'Apache License', 'Version 2.0, January 2004', '9. Accepting Warranty', 'END OF TERMS AND CONDITIONS'
    assert all(o in text('LICENSE') for o in want)

# -- Modules

LIGHT = sorted(m.replace('/', '.') for m in MODULES if not m.startswith('model/') and m not in ('train', 'interpret', 'export', 'pkl'))

def test_light_side_runs_without_torch_and_fastai():
    code = f'''
import sys
class No:
    def find_spec(self, name, *a):
        if name.split(".")[0] in ("torch", "fastai", "fastbook", "timm", "torchvision"): raise ImportError(name + " is imported")
sys.meta_path.insert(0, No())
import {", ".join(f"eyewear.{o}" for o in LIGHT)}'''
    res = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert res.returncode == 0, res.stderr

# -- Notebooks and links

@pytest.mark.parametrize('i,name', list(enumerate(LESSONS, 1)))
def test_lesson_is_there(i, name):
    cells = json.loads(text(f'nbs/{i:02}_{name}.ipynb'))['cells']
    assert re.match(r'# \w.*\n+> \w', links.source(cells[0]))
    code = [links.source(c) for c in cells if c['cell_type'] == 'code']
    assert any(f'#| default_exp {name}' in o for o in code)

def test_notebooks_are_small():
    assert not [f.name for f in (ROOT/'nbs').glob('**/*.ipynb') if f.stat().st_size > 300_000]

@pytest.mark.parametrize('path', sorted(ROOT.glob('nbs/**/[!.]*.ipynb')), ids=lambda o: o.stem)
def test_outputs_hold_no_warnings_of_a_machine(path):
    cells = json.loads(path.read_text(encoding='utf8'))['cells']
    assert not [c['id'] for c in cells for o in c.get('outputs', []) if o.get('name') == 'stderr']

def test_notebooks_are_in_style():
    "`chkstyle` finds nothing"
    cmd = [Path(sys.executable).parent/'chkstyle', 'nbs', '--show-rule']
    res = subprocess.run(cmd, cwd=ROOT, capture_output=True, text=True)
    assert res.returncode == 0, res.stdout+res.stderr

def test_links_are_in_step(tmp_path): assert links.write_links(copy(tmp_path)) == []

def test_links_follow_settings(tmp_path):
    links.write_links(copy(tmp_path))
    before = {f: json.loads(f.read_text()) for f in (tmp_path/'nbs').glob('0[1-6]*.ipynb')}
    s = tmp_path/'settings.ini'
    s.write_text(s.read_text().replace(cfg['git_url'], 'https://github.com/somebody/specs').replace('branch = main', 'branch = trunk'))
    changed = links.write_links(tmp_path)
    assert links.write_links(tmp_path) == []
    assert {'pyproject.toml', 'README.md', 'CITATION.cff', 'nbs/index.ipynb', *(str(f.relative_to(tmp_path)) for f in before)} == set(changed)
    owner = '/'.join(cfg['git_url'].split('/')[-2:])
    assert not [f for f in changed if owner in (tmp_path/f).read_text()]
    assert tomllib.loads((tmp_path/'pyproject.toml').read_text())['project']['urls'] == dict(
        Repository='https://github.com/somebody/specs', Documentation='https://somebody.github.io/specs')
    assert 'git clone https://github.com/somebody/specs\n' in (tmp_path/'README.md').read_text()
    for f, nb in before.items():
        new = json.loads(f.read_text())
        assert f'somebody/specs/blob/trunk/nbs/{f.name}' in links.source(new['cells'][1])
        made = links.BADGES, links.INSTALL
        rest = lambda nb: [c for c in nb['cells'] if not any(o in links.source(c) for o in made)]
        assert rest(new) == rest(nb) and len(new['cells']) == len(nb['cells']) and new['metadata'] == nb['metadata']

def test_links_make_a_lesson_complete():
    md = dict(cell_type='markdown', id='a', metadata={}, source=['# A\n', '> b'])
    code = dict(cell_type='code', id='b', metadata={}, execution_count=None, outputs=[], source=['#| default_exp a'])
    nb = dict(cells=[md, dict(md, id='c'), code])
    conf = links.settings(ROOT)
    links.lesson(nb, '01_a.ipynb', conf)
    assert [c['id'] for c in nb['cells']] == ['a', 'badges', 'c', 'install', 'b']
    nb['cells'][1]['source'] = nb['cells'][1]['source'][:1]           # an old one, in another place, is replaced
    nb['cells'].insert(0, nb['cells'].pop(3))
    nb['cells'].insert(0, nb['cells'].pop(1))
    links.lesson(nb, '01_a.ipynb', conf)
    assert [c['id'] for c in nb['cells']] == ['a', 'badges', 'c', 'install', 'b'] and len(nb['cells'][1]['source']) == 2

def test_address_stands_nowhere_else(tmp_path):
    made = re.compile(r'settings\.ini|pyproject\.toml|README\.md|CITATION\.cff|nbs/(0[1-6]\w+|index)\.ipynb|eyewear/\w+\.py')
    owner = '/'.join(cfg['git_url'].split('/')[-2:])
    copy(tmp_path)
    found = [f for f in tmp_path.rglob('*') if f.is_file() and owner.encode() in f.read_bytes()]
    assert not [f for f in found if not made.fullmatch(str(f.relative_to(tmp_path)))]

# -- The site

SITE = yaml.safe_load(text('nbs/_quarto.yml')), yaml.safe_load(text('nbs/sidebar.yml'))['website']['sidebar']['contents']
PAGES = sorted(str(f.relative_to(ROOT/'nbs')) for o in ('*.ipynb', '*.md', 'data/*.ipynb', 'model/*.ipynb', 'page/*.ipynb') for f in (ROOT/'nbs').glob(o))
SERVED = 'app.ipynb', 'review.ipynb'                                  # by Voila, not by the site

def hrefs(items):
    "The pages of a sidebar, in order"
    for o in items:
        if isinstance(o, str): yield o
        elif 'section' in o: yield from hrefs(o['contents'])
        else: yield o['href']

def test_sidebar_names_every_page_once_lessons_first():
    order = list(hrefs(SITE[1]))
    assert sorted(order) == [o for o in PAGES if o not in SERVED]
    lessons = [o for o in PAGES if re.match('0[1-6]', o)]
    assert order[:7] == ['index.ipynb', *lessons] and {o for o in order[7:10]} == {'hosts.md', 'people.md', 'seed_today.md'}

def test_site_shows_what_the_sidebar_names():
    site, _ = SITE
    assert site['metadata-files'] == ['nbdev.yml', 'sidebar.yml'] and site['website']['navbar']['search'] is True and site['execute'] == {'enabled': False}
    take, leave = [o for o in site['project']['render'] if o[0] != '!'], [o[1:] for o in site['project']['render'] if o[0] == '!']
    shown = {str(f.relative_to(ROOT/'nbs')) for o in take for f in (ROOT/'nbs').glob(o)}
    assert shown-set(leave) == {o for o in PAGES if o not in SERVED} and set(leave) == set(SERVED)

def test_site_has_the_address_of_settings(tmp_path, monkeypatch):
    "What nbdev makes of pyproject.toml, and where a module says that its documentation is"
    from nbdev.config import get_config
    conf = get_config(ROOT)
    assert conf.custom_sidebar and conf.git_url == cfg['git_url'] and conf.branch == cfg['branch'] and conf.title == cfg['lib_name']
    docs = links.settings(ROOT)['docs']
    assert conf.doc_host+conf.doc_baseurl == docs and f'{docs}/data/duplicates.html' in text('eyewear/data/duplicates.py')

def runs_for_the_site(code):
    "nbdev-docs runs a cell by itself where it is exported or imports anything"
    if re.search(r'^#\| *(export|exec_doc)', code, re.M): return True
    return not re.search(r'^#\| *eval: *false', code, re.M) and any(isinstance(o, (ast.Import, ast.ImportFrom)) for o in ast.walk(ast.parse(code)))

def bound_and_used(code):
    "Names that a cell gives to the page, and those that it takes from it"
    top = symtable.symtable(code, 'cell', 'exec')
    bound = {o.get_name() for o in top.get_symbols() if o.is_assigned() or o.is_imported()}
    def used(table): return {o.get_name() for o in table.get_symbols() if o.is_referenced() and (table is top or o.is_global())}.union(*map(used, table.get_children()))
    return bound, used(top)-bound

@pytest.mark.parametrize('page', [o for o in PAGES if o.endswith('.ipynb') and o not in SERVED])
def test_cell_that_runs_for_the_site_needs_no_cell_that_does_not(page):
    "So imports stand apart from code that leans on what the page has made before"
    made, lacking = set(), {}
    for c in json.loads(text(f'nbs/{page}'))['cells']:
        code = links.source(c)
        if c['cell_type'] != 'code' or code.lstrip().startswith(('%', '!')): continue
        bound, used = bound_and_used(code)
        if not runs_for_the_site(code): made |= bound
        elif used & made: lacking[c['id']] = used & made
        else: made -= bound
    assert not lacking

def relative_links(path):
    "The links of a page that lead to a file"
    cells = json.loads(path.read_text(encoding='utf8'))['cells'] if path.suffix == '.ipynb' else [dict(cell_type='markdown', source=[path.read_text(encoding='utf8')])]
    prose = '\n'.join(re.sub('```.*?```', '', links.source(c), flags=re.S) for c in cells if c['cell_type'] == 'markdown')
    return [o.split('#')[0] for o in re.findall(r'\]\(([^)\s]+)', prose) if not re.match(r'https:|#|mailto:', o)]

@pytest.mark.parametrize('page', [*(f'nbs/{o}' for o in PAGES), *sorted(str(f.relative_to(ROOT)) for o in ('*.md', 'deploy/*.md') for f in ROOT.glob(o))])
def test_links_lead_to_a_file(page):
    "From the repository; links between pages are to the notebook, so that they hold there and on the site"
    assert not [o for o in relative_links(ROOT/page) if not (ROOT/page).parent.joinpath(o).exists()]

def test_pages_for_hosts_can_be_reached_from_the_site():
    named = {(ROOT/'nbs'/o).parent.joinpath(l).resolve() for o in PAGES if o not in SERVED for l in relative_links(ROOT/'nbs'/o)}
    assert ROOT/'deploy'/'README.md' in named
    assert {ROOT/'deploy'/o for o in relative_links(ROOT/'deploy'/'README.md')} >= {f for f in (ROOT/'deploy').glob('*.md') if f.name != 'README.md'}

def test_site_leads_to_the_repository_for_what_is_not_on_it(tmp_path):
    copy(tmp_path)
    made = {'index.html': '<a href="../deploy/README.md#x">a</a> <a href="hosts.html">b</a> <a href="../nowhere.md">c</a>', 'parts/serve.html': '<a href="../../Dockerfile">a</a> <a href="../index.html">b</a>',
            'hosts.html.md': '[a](../constraints.txt) [b](people.md)'}
    (tmp_path/'_docs'/'parts').mkdir(parents=True)
    for name, body in made.items(): (tmp_path/'_docs'/name).write_text(body)
    assert sorted(links.leave_site(tmp_path)) == sorted(f'_docs/{o}' for o in made)
    at = f"{cfg['git_url']}/blob/{cfg['branch']}"
    assert {o: (tmp_path/'_docs'/o).read_text() for o in made} == {'index.html': f'<a href="{at}/deploy/README.md#x">a</a> <a href="hosts.html">b</a> <a href="../nowhere.md">c</a>',
        'parts/serve.html': f'<a href="{at}/Dockerfile">a</a> <a href="../index.html">b</a>', 'hosts.html.md': f'[a]({at}/constraints.txt) [b](people.md)'}

# -- The install cell of a lesson

def run_install_cell(monkeypatch, have, colab=False, **env):
    "What the install cell runs on a machine that has the distributions `have`"
    calls = []
    monkeypatch.setattr('importlib.metadata.distributions', lambda: [SimpleNamespace(name=k, version=v) for k, v in have.items()])
    monkeypatch.setattr(subprocess, 'check_call', lambda cmd: calls.append(cmd))
    for k in [k for k in os.environ if k.startswith('PAPERSPACE_')]: monkeypatch.delenv(k)
    for k, v in env.items(): monkeypatch.setenv(k, v)
    if colab: monkeypatch.setitem(sys.modules, 'google.colab', ModuleType('google.colab'))
    else: monkeypatch.delitem(sys.modules, 'google.colab', raising=False)
    for f in sorted((ROOT/'nbs').glob('0[1-6]*.ipynb')):
        code = [links.source(c) for c in json.loads(f.read_text())['cells'] if c['cell_type'] == 'code'][0]
        exec(code, {})
    return calls

TORCH = {'torch': '2.9.0+cu126', 'torchvision': '0.24.0+cu126', 'numpy': '2.0.2'}

def test_install_cell_does_nothing_at_home(monkeypatch): assert run_install_cell(monkeypatch, TORCH) == []

@pytest.mark.parametrize('host', [dict(colab=True), dict(PAPERSPACE_FQDN='x')])
def test_install_cell_on_a_host(monkeypatch, host):
    calls = run_install_cell(monkeypatch, TORCH, **host)
    assert len(calls) == len(LESSONS)
    want = f"{cfg['lib_name']}[tutorial] @ git+{cfg['git_url']}"
    for o in calls:
        assert o[:4] == [sys.executable, '-m', 'pip', 'install'] and o[-3:] == [want, 'torch==2.9.0+cu126', 'torchvision==0.24.0+cu126']

def test_install_cell_installs_once(monkeypatch):
    assert run_install_cell(monkeypatch, {**TORCH, 'eyewear': '0.1.0', 'dicebear-core': '10'}, colab=True) == []

def test_readme_example_runs(tmp_path, monkeypatch):
    from PIL import Image
    from tinymodel import tiny_model
    tiny_model(tmp_path/'eyewear.onnx')
    Image.new('RGB', (64, 64), 'red').save(tmp_path/'portrait.jpg')
    monkeypatch.chdir(tmp_path)
    lines = re.search(r'```python\n(.+?)```', text('README.md'), re.S)[1].strip().splitlines()
    env = {}
    exec('\n'.join(lines[:-1]), env)
    assert len(lines) == 3 and eval(lines[-1], env).label == 'glasses'

def test_readme_maker():
    code = dict(cell_type='code', source=['#| eval: false\n', '1+1'], outputs=[dict(data={'text/plain': ['2']})])
    md = links.readme(dict(cells=[dict(cell_type='markdown', source=['# A']), code]))
    assert md.split('\n\n')[1:] == ['# A', '```python\n1+1\n```', '```\n2\n```\n']

def test_readme_is_short(): assert len(text('README.md').splitlines()) < 90

def test_readme_leads_to_files():
    assert links.from_root('[a](b.md) [c](../d.md) [e](https://f.org) [g](#h) <img src="i.png">') == '[a](nbs/b.md) [c](d.md) [e](https://f.org) [g](#h) <img src="nbs/i.png">'
    paths = [o for pair in re.findall(r'\]\(([^)#]+)|src="([^"]+)', text('README.md')) for o in pair if o and not o.startswith('https://')]
    assert len(paths) > 5 and not [o for o in paths if not (ROOT/o).exists()]

def test_readme_answers_as_lesson_05_does():
    lesson = {'05_export.ipynb': json.loads(text('nbs/05_export.ipynb'))}
    said = ''.join(links.answer(lesson)[-1]['data']['text/plain'])
    assert re.match(r'\w+ [01]\.\d{4}, ', said) and f"classify('portrait.jpg')\n```\n\n```\n{said}\n```" in text('README.md')

def test_what_make_test_prints_is_on_the_front_page():
    assert 'begins with `eyewear: all passed in`' in text('README.md') and "eyewear: all passed in {" in text('.ci/make.py')

def test_citation_is_that_of_settings():
    cff = yaml.safe_load(text('CITATION.cff'))
    assert (cff['title'], cff['version'], cff['authors'], cff['license']) == (cfg['lib_name'], cfg['version'], [dict(name=cfg['author'])], cfg['license'])
    assert (cff['cff-version'], cff['type'], cff['repository-code'], cff['abstract']) == ('1.2.0', 'software', cfg['git_url'], cfg['description'])

# -- Figures of the front page

def bench(name): return json.loads(text(f'benchmarks/results/{name}.json'))
def row(name, **want): return next(o for o in bench(name)['rows'] if want.items() <= o.items())

def measured():
    "The lines of the table on the front page, made of benchmarks/results"
    load = [row('download', side=o) for o in ('bing_image_downloader', 'eyewear')]
    lost = [row('kill', way=o, task='review') for o in ("the seed's", 'eyewear')]
    near, wrong = row('near_duplicates', photos='drawn, by hash and features', kind='all'), bench('wrong_labels')
    fit = [row('train_speed', what=o) for o in ("the seed's recipe", 'eyewear, cold cache')]
    one = [row('predict', what=o)['p50_ms'] for o in ("fastai's load_learner, predict", 'file to probabilities, one thread')]
    page = [row('page_open', page=o)['p50'] for o in ("the seed's", 'eyewear, cold', 'eyewear')]
    seed, here = (bench('page_visitors')['mib_a_visitor'][o] for o in ("the seed's", 'eyewear'))
    assert len({o['photos'] for o in load}) == len({o['killed'] for o in lost}) == len({o['photos'] for o in fit}) == 1 and len({o['seed'] for o in wrong['rows']}) == 3
    yield f"{load[0]['photos']} photos from a slow and faulty web | {load[0]['seconds']:.0f} s | {load[1]['seconds']:.0f} s | `download.py`"
    yield f"photos lost when killed {lost[0]['killed']} times while sorting | {lost[0]['photos_lost']} | {lost[1]['photos_lost']} | `kill.py`"
    yield f"near-duplicates found, of {near['planted']:,} planted | not looked for | {near['found']:,} | `near_duplicates.py`"
    cleaner, ours = (100*wrong['mean'][o][1] for o in ("fastai's cleaner", 'ours'))
    yield f"wrong labels in the first fifth of the list, mean of three sets | {cleaner:.0f} % (fastai's cleaner) | {ours:.0f} % | `wrong_labels.py`"
    yield f"training on {fit[0]['photos']} photos | {fit[0]['seconds']:.0f} s | {fit[1]['seconds']:.0f} s | `train_speed.py`"
    yield f"one photo, from file to answer | {one[0]:.0f} ms | {one[1]:.0f} ms | `predict.py`"
    yield f"the page, from address to ready | {page[0]:.1f} s | {page[1]:.1f} s, made ahead {page[2]:.1f} s | `page_open.py`"
    yield f"memory for each visitor | {seed} MiB | {here} MiB | `page_visitors.py`"

def test_front_page_says_what_was_measured():
    missing = [o for o in measured() if f'| {o} |' not in text('README.md')]
    assert not missing, f'nbs/index.ipynb should say: {missing}'
    for name in re.findall(r'\| `(\w+)\.py` \|', text('README.md')):
        o = bench(name)
        assert (ROOT/'benchmarks'/f'{name}.py').exists() and o['machine'].startswith('2 cores') and f"{date.fromisoformat(o['date']):%B %Y}" in text('README.md')

def test_front_page_says_how_real_photos_went():
    o = bench('real_photos')['rows'][-1]
    says = f"On {o['photos']} photos of real faces, each asked of a model that had not seen it, {100*o['error']:.1f} % of the answers ({100*o['low']:.1f} to {100*o['high']:.1f})"
    assert says in text('README.md'), f'nbs/index.ipynb should say: {says}'

def test_table_says_how_long_a_lesson_takes(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT/'benchmarks')
    import lessons
    rec = dict(seconds={'01_download': 41.2, '03_train': 130.0}, training=dict(device='cpu'))
    old = {'01_download': dict(lesson='01_download', cpu=50.0, gpu=12.0), '02_clean': dict(lesson='02_clean', cpu=33.0, gpu=None)}
    rows = lessons.rows(rec, {})
    assert rows == [dict(lesson='01_download', cpu=41.2, gpu=None), dict(lesson='03_train', cpu=130.0, gpu=None)]
    assert {o['lesson']: (o['cpu'], o['gpu']) for o in lessons.rows(dict(rec, training=dict(device='cuda:0')), old)} == {
        '01_download': (50.0, 41.2), '02_clean': (33.0, None), '03_train': (None, 130.0)}
    nbs = {f'0{i}_{o}.ipynb': dict(cells=[dict(source=['# A\n', '\n', '> b'])]) for i, o in enumerate(LESSONS, 1)}
    lines = links.table(nbs, links.settings(ROOT), {o['lesson']: o for o in rows}).splitlines()[-6:]
    assert [o.split(' | ')[2:4] for o in lines] == [['41 s', 'not measured'], ['not measured']*2, ['2 min', 'not measured'], *[['not measured']*2]*3]

@pytest.mark.parametrize('name', [f'0{i}_{o}' for i, o in enumerate(LESSONS, 1)])
def test_lesson_says_how_long_it_takes(name):
    result = ROOT/'benchmarks'/'results'/'lessons.json'
    took = {o['lesson']: o['cpu'] for o in json.loads(result.read_text())['rows']} if result.exists() else {}
    words = ''.join(links.source(c) for c in json.loads(text(f'nbs/{name}.ipynb'))['cells'] if c['cell_type'] == 'markdown')
    said = re.search(r'(a|two|three|four|five) minutes? on two cores', words)
    minutes = said and ('a', 'two', 'three', 'four', 'five').index(said[1])+1
    assert not (minutes and took.get(name)) or abs(took[name]/60-minutes) <= max(.75, minutes/3)

# -- Pinned versions

def pins(name):
    lines = text(name).splitlines()
    odd = [l for l in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[\w.+!]+( ; [\w\s.'<>=!()]+)?", l)]
    assert not odd                                                  # no index, host or path of the machine that made them
    return {norm(l.split('==')[0]): l.split('==')[1].split()[0] for l in lines}

@pytest.mark.parametrize('name,kinds', [('constraints.txt', REQS), ('constraints-light.txt', ['requirements'])])
def test_every_requirement_is_pinned(name, kinds):
    have = pins(name)
    for req in (Requirement(o) for kind in kinds for o in REQS[kind]): assert req.specifier.contains(have[norm(req.name)])

def test_upper_bounds_have_a_reason():
    "And the condition to drop them, in a comment of the file that has them"
    for name, reqs in (('settings.ini', sum(REQS.values(), [])), ('environment.yml', yaml.safe_load(text('environment.yml'))['dependencies'][:2])):
        notes = '\n'.join(re.findall('#.*', text(name)))
        for r in map(Requirement, reqs):
            for o in r.specifier: assert o.operator == '>=' or f'{r.name}{o} until ' in notes, f'{name}: {r}'

def test_the_two_environments():
    full, light = pins('constraints.txt'), pins('constraints-light.txt')
    assert full['ipywidgets'].startswith('7.') and light['ipywidgets'].startswith('8.')
    assert set(make.LIGHT_TOOLS) <= set(light) and not {'torch', 'torchvision', 'fastai', 'timm', 'fastbook'} & set(light)

def test_conda_installs_the_same():
    env = yaml.safe_load(text('environment.yml'))
    assert env['name'] == cfg['lib_name'] and env['dependencies'][-1]['pip'] == ['-c constraints.txt', '-e .[tutorial]']
    assert f"python>={cfg['min_python']},<{make.PYTHONS[1][0]}.{make.PYTHONS[1][1]+1}" in env['dependencies']

# -- Licences

def test_licences_are_those_of_what_is_installed():
    rows = list(licences.table())
    assert {o[0] for o in rows} == {*pins('constraints.txt'), *pins('constraints-light.txt')} and [o[0] for o in rows] == sorted(o[0] for o in rows)
    assert not [o[0] for o in rows if not o[1]]
    assert {o[0]: tuple(o) for o in rows} == licences.old_rows(), 'make licences'
    part = {o[0]: o[2] for o in rows}
    assert [part[o] for o in ('voila', 'onnxruntime', 'torch', 'nvidia-cublas', 'pytest')] == ['light', 'light', 'lessons', 'lessons', 'development']

def test_licences_that_ask_for_more_are_explained():
    said = text('licences.md').split('| Package')[0]
    odd = {o[0] for o in licences.table() if re.search('GPL|MPL|NVIDIA|stated|see above', ' '.join(o[1:]))}
    assert not [o for o in odd if f'`{o}`' not in said and not o.startswith('nvidia-')] and 'pillow-heif' in odd and '`nvidia-*`' in said

def test_licence_of_a_package():
    def said(*fields): return licences.licence(SimpleNamespace(metadata=email.message_from_string('\n'.join(fields))))
    assert said('License-Expression: MIT', 'License: X') == 'MIT' and said('License: BSD') == 'BSD' and said('Name: a') == ''
    assert said('License: UNKNOWN', 'Classifier: License :: OSI Approved :: MIT License', 'Classifier: License :: Public Domain') == 'MIT License or Public Domain'
    assert said('License: '+'Permission is hereby granted '*9) == ''

# -- make

def test_makefile_lists_the_targets():
    want = [f.__name__ for f in make.TARGETS]
    out = subprocess.check_output(['make', '--no-print-directory'], cwd=ROOT, text=True)
    assert [l.split()[1] for l in out.splitlines()] == want
    assert set(re.search(r'^\.PHONY: (.+)', text('Makefile'), re.M)[1].split()) == set(want)

@pytest.fixture
def calls(monkeypatch, tmp_path):
    "`make` on a machine of its own; what it would run"
    calls = []
    for name in ('VENV', 'LIGHT'): monkeypatch.setattr(make, name, tmp_path/name)
    for name in ('SOURCE', 'LIMIT', 'LABELS', 'PORT', 'SERVE', 'TORCH_BACKEND'): monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(make, 'call', lambda *cmd, **kw: calls.append([str(o) for o in cmd]))
    monkeypatch.setattr(make.os, 'execv', lambda path, argv: calls.append(argv))
    monkeypatch.setattr(make.os, 'chdir', lambda path: None)
    monkeypatch.setattr(make.platform, 'system', lambda: 'Linux')
    monkeypatch.setattr(make.platform, 'machine', lambda: 'x86_64')
    def made(path): (path/'bin').mkdir(parents=True, exist_ok=True); (path/'bin'/'uv').touch()
    monkeypatch.setattr(make, 'make_venv', made)
    monkeypatch.setattr(make.shutil, 'disk_usage', lambda path: SimpleNamespace(free=50e9))
    return calls

def stopped(capsys, f, *args):
    "The one line that `f` stops with"
    with pytest.raises(SystemExit) as e: f(*args)
    lines = capsys.readouterr().err.splitlines()
    assert e.value.code == 2 and len(lines) == 1
    return lines[0]

OTHERS = ('Windows', 'AMD64', ''), ('Darwin', 'x86_64', '14.1'), ('Darwin', 'arm64', '13.6'), ('Linux', 'riscv64', '')

@pytest.mark.parametrize('system,machine,mac', OTHERS)
def test_another_machine(calls, monkeypatch, capsys, system, machine, mac):
    for k, v in dict(system=system, machine=machine, mac_ver=(mac,)).items(): monkeypatch.setattr(make.platform, k, lambda v=v: v)
    assert 'needs ' in stopped(capsys, make.run) and not calls

@pytest.mark.parametrize('system,machine,mac', [('Linux', 'aarch64', ''), ('Darwin', 'arm64', '14.0'), ('Darwin', 'arm64', '26.1')])
def test_a_machine_that_will_do(calls, monkeypatch, system, machine, mac):
    for k, v in dict(system=system, machine=machine, mac_ver=(mac,)).items(): monkeypatch.setattr(make.platform, k, lambda v=v: v)
    make.run()
    assert len(calls) == 2

def test_another_python(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(make, 'version_of', lambda o: (3,10,1))
    assert 'needs Python 3.11, 3.12 or 3.13' in stopped(capsys, make.find_python)
    monkeypatch.setattr(make, 'version_of', lambda o: (3,12,0))
    assert 'python3.12-venv' in stopped(capsys, make.find_python)
    monkeypatch.setattr(make, 'version_of', lambda o: (3,13,1) if o == 'python3.13' else None)
    assert make.find_python() == 'python3.13'

def test_old_python_can_read_it():
    for name in ('make.py', 'links.py'): ast.parse(text(f'.ci/{name}'), feature_version=(3,7))

def test_python_is_asked():
    assert make.version_of(sys.executable) == (*sys.version_info[:2], 1)
    assert make.version_of('no-such-python') is None

def test_size_is_said_and_disk_checked(calls, monkeypatch, capsys):
    make.run()
    assert '6.8 GB into .venv, once (50 GB free; TORCH_BACKEND=cpu brings 2.1 GB instead)' in capsys.readouterr().out

def test_full_disk(calls, monkeypatch, capsys):
    monkeypatch.setattr(make.shutil, 'disk_usage', lambda path: SimpleNamespace(free=5e9))
    assert '7.8 GB of free disk are needed' in stopped(capsys, make.run) and not calls
    monkeypatch.setenv('TORCH_BACKEND', 'cpu')
    make.run()
    assert len(calls) == 2

def test_run_installs_once(calls, monkeypatch, tmp_path):
    monkeypatch.setattr(make, 'ROOT', copy(tmp_path/'repo'))
    make.run(); make.run()
    install, *rest = calls
    assert install[1:3] == ['pip', 'install'] and install[install.index('-c')+1] == 'constraints.txt' and install[-1] == '.[tutorial]'
    assert rest == [['eyewear-run']]*2
    for name in ('settings.ini', 'setup.py', 'pyproject.toml', 'constraints.txt'):
        calls.clear()
        with open(tmp_path/'repo'/name, 'a') as f: f.write('\n')
        make.run(); make.run()
        assert [o[0] for o in calls] == [str(make.VENV/'bin'/'uv'), 'eyewear-run', 'eyewear-run']

def test_more_extras_are_added(calls):
    make.setup('tutorial'); make.setup('tutorial', 'dev'); make.setup('tutorial'); make.setup('dev')
    assert [o[-1] for o in calls] == ['.[tutorial]', '.[dev,tutorial]']

TWO = ['--torch-backend', 'cpu', '--reinstall-package', 'torch', '--reinstall-package', 'torchvision'] # from one place, both

def test_torch_backend(calls, monkeypatch):
    make.setup('tutorial')
    monkeypatch.setenv('TORCH_BACKEND', 'cpu')
    make.setup('tutorial')
    monkeypatch.delenv('TORCH_BACKEND')
    make.setup('tutorial')                                            # stays as it was chosen
    make.setup('dev')
    plain, cpu, dev = calls
    assert '--torch-backend' not in plain and cpu[-8:-2] == TWO and dev[-4:-2] == TWO[:2]

def test_failed_install_is_done_again(calls, monkeypatch, capsys):
    def fail(*cmd, **kw): raise SystemExit(1)
    make.setup('tutorial')
    monkeypatch.setenv('TORCH_BACKEND', 'cpu')
    with monkeypatch.context() as m:
        m.setattr(make, 'call', fail)
        with pytest.raises(SystemExit): make.setup('tutorial')
    assert 'TORCH_BACKEND needs a host of PyTorch' in capsys.readouterr().err
    make.setup('tutorial')
    assert len(calls) == 2 and calls[1][-8:-2] == TWO

def test_run_passes_what_was_given(calls, monkeypatch):
    for k, v in dict(SOURCE='/my photos', LIMIT='20', LABELS='cups,plates', PORT='0', SERVE='0').items(): monkeypatch.setenv(k, v)
    make.run()
    assert calls[-1] == ['eyewear-run', '--source', '/my photos', '--limit', '20', '--labels', 'cups,plates', '--port', '0', '--serve', '0']

def test_environment_made_elsewhere_is_made_again(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(make, 'call', lambda *cmd, **kw: calls.append(cmd))
    monkeypatch.setattr(make, 'version_of', lambda o: (3,11,1))
    venv = tmp_path/'.venv'
    venv.mkdir()
    (venv/'pyvenv.cfg').write_text(f'home = /usr/bin\ncommand = /usr/bin/python3 -m venv {venv}\n')
    make.make_venv(venv)
    assert not calls
    (venv/'pyvenv.cfg').write_text('home = /usr/bin\ncommand = /usr/bin/python3 -m venv /elsewhere/.venv\n')
    make.make_venv(venv)
    assert calls[0][-2:] == ('--clear', venv)

def test_failures_are_passed_on():
    for rc in (1, 5):                                                 # 5: pytest found no test
        with pytest.raises(SystemExit) as e: make.call(sys.executable, '-c', f'raise SystemExit({rc})')
        assert e.value.code == rc

def test_change_by_a_tool_is_a_failure(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(make, 'ROOT', tmp_path)
    monkeypatch.setattr(make, 'links', lambda: None)
    (tmp_path/'nbs').mkdir()
    nb = tmp_path/'nbs'/'a.ipynb'
    nb.write_text('{}')
    monkeypatch.setattr(make, 'call', lambda *cmd: None)
    make.in_step()
    monkeypatch.setattr(make, 'call', lambda *cmd: nb.write_text('{ }'))
    assert 'nbs/a.ipynb' in stopped(capsys, make.in_step)

@pytest.mark.parametrize('system,folder,end', [('Linux', 'bin', ''), ('Darwin', 'bin', ''), ('Windows', 'Scripts', '.exe')])
def test_light_runs_everywhere(calls, monkeypatch, system, folder, end):
    "The light part asks for no machine that torch has packages for"
    monkeypatch.setattr(make.platform, 'system', lambda: system)
    make.light()
    *pip, install, tests = calls
    assert [o[0] for o in (install, tests)] == [str(make.VENV/folder/f'uv{end}'), str(make.LIGHT/folder/f'pytest{end}')]
    assert install[install.index('--python')+1] == str(make.LIGHT/folder/f'python{end}') and '.' in install
    assert [o[:6] for o in pip] == ([[str(make.VENV/folder/f'python{end}'), '-m', 'pip', 'install', '-q', '--disable-pip-version-check']] if end else [])
    assert {Path(o).name for o in tests[1:]} >= {'test_app.py', 'test_photo.py', 'test_predict.py'} and not [o for o in tests if 'test_train' in o]

def test_audit_asks_for_both_installations(calls):
    make.audit()
    assert calls[-1][:3] == [str(make.VENV/'bin'/'uv'), 'tool', 'run'] and 'pip-audit' in calls[-1] and '--strict' in calls[-1]     # else what it cannot find passes
    assert calls[-1][-4:] == ['-r', 'constraints.txt', '-r', 'constraints-light.txt']

def test_docs_need_quarto(calls, monkeypatch, capsys):
    monkeypatch.setattr(make.shutil, 'which', lambda name: None)
    assert 'needs Quarto' in stopped(capsys, make.docs) and not calls
    monkeypatch.setattr(make.shutil, 'which', lambda name: '/usr/bin/quarto')
    monkeypatch.setattr(links, 'leave_site', lambda root: calls.append(root))
    make.docs()
    assert calls[-1] == ROOT and calls[-2] == [str(make.VENV/'bin'/'nbdev-docs')]

def test_hooks_merge_notebooks(monkeypatch, tmp_path):
    "Two people change the same cell: what git leaves is a notebook that opens, from a shell that knows nothing of the environment"
    repo, home = copy(tmp_path/'repo'), tmp_path/'home'
    home.mkdir()
    for k, v in dict(HOME=home, PATH='/usr/bin:/bin', GIT_CONFIG_GLOBAL=home/'.gitconfig').items(): monkeypatch.setenv(k, str(v))
    for k in ('XDG_CONFIG_HOME', 'JUPYTER_CONFIG_DIR'): monkeypatch.delenv(k, raising=False)
    def git(*args): return subprocess.run(['git', '-c', 'user.name=a', '-c', 'user.email=a@b.c', *args], cwd=repo, capture_output=True, text=True)
    for o in (['init', '-qb', 'main'], ['add', '-A'], ['commit', '-qm', 'a']): assert git(*o).returncode == 0
    for k, v in dict(ROOT=repo, VENV=Path(sys.prefix), setup=lambda *extras: None).items(): monkeypatch.setattr(make, k, v)
    make.hooks()
    assert git('status', '--porcelain').stdout == '' and git('config', 'merge.jupyternotebook.driver').stdout.startswith(f'"{sys.prefix}')
    path = repo/'nbs'/'data'/'duplicates.ipynb'
    def write(branch, line):
        git('checkout', '-qb', branch, 'main')
        nb = json.loads(path.read_text(encoding='utf8'))
        nb['cells'][1]['source'][-1] += '\n'+line
        path.write_text(json.dumps(nb, indent=1, ensure_ascii=False)+'\n', encoding='utf8')
        assert git('commit', '-qam', branch).returncode == 0
    write('one', '# one'); write('two', '# two')
    said = git('merge', 'one')
    assert 'not found' not in said.stdout+said.stderr
    sources = '\n'.join(links.source(c) for c in json.loads(path.read_text(encoding='utf8'))['cells'])
    assert '# one' in sources and '# two' in sources and git('diff', '--check').stdout.count('conflict marker') == 0
    assert 'pre_save_hook' in (home/'.jupyter'/'jupyter_server_config.py').read_text()

def test_no_app_tests_is_a_failure(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(make, 'ROOT', tmp_path)
    assert 'no test' in stopped(capsys, make.light_tests)

@pytest.mark.parametrize('had_venv', [False, True])
def test_ci_passes_the_status_on(tmp_path, had_venv):
    (tmp_path/'.ci').mkdir()
    shutil.copy(ROOT/'.ci'/'run', tmp_path/'.ci'/'run')
    (tmp_path/'Makefile').write_text('test:\n\t@test ! -e .venv && echo "$$PYTHONPATH|made it" && exit $(RC)\n')
    (tmp_path/'.gitignore').write_text('.venv\n')
    git = 'git', '-c', 'user.name=a', '-c', 'user.email=a@b.c', '-c', 'init.defaultBranch=main'
    for cmd in (['init', '-q'], ['add', '.'], ['commit', '-qm', 'a']): subprocess.check_call([*git, *cmd], cwd=tmp_path)
    if had_venv: (tmp_path/'.venv').mkdir()
    for rc in ('0', '5'):
        env = dict(os.environ, RC=rc, PYTHONPATH='/by/hand')
        res = subprocess.run(['bash', '.ci/run'], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert '|made it' in res.stdout and '/by/hand' not in res.stdout, res.stderr
        assert (res.returncode == 0) == (rc == '0')
    assert (tmp_path/'.venv').exists() == had_venv and not (tmp_path/'build'/'ci').exists()

# -- Hosts

def test_hosts_start_the_light_app():
    assert text('requirements.txt').splitlines() == ['-c constraints-light.txt', '.']
    start = 'eyewear-app --ip 0.0.0.0 --port $PORT'
    docker = text('Dockerfile').splitlines()
    assert 'eyewear-app' in SCRIPTS and text('Procfile') == f'web: {start}\n' and start in docker[-1]
    assert f"FROM python:{text('.python-version').strip()}-slim" in docker
    steps = [o.split()[0] for o in docker if o and not o.startswith('#')]
    assert steps.index('RUN') < steps.index('USER') < steps.index('CMD') and 'USER root' not in docker
    for o in docker:
        if o.startswith('COPY'): assert all((ROOT/f).exists() for f in o.split()[1:-1])

# -- Workflows

FLOWS = {f.stem: yaml.safe_load(f.read_text(encoding='utf8')) for f in sorted((ROOT/'.github'/'workflows').glob('*.yaml'))}
JOBS = {f'{flow}/{job}': o for flow, body in FLOWS.items() for job, o in body['jobs'].items()}
PYS = [f'3.{i}' for i in range(make.PYTHONS[0][1], make.PYTHONS[1][1]+1)]
ACTIONS = {'actions/checkout': 'v5', 'actions/setup-python': 'v6', 'actions/upload-artifact': 'v6', 'actions/download-artifact': 'v7', # each looked up
           'actions/upload-pages-artifact': 'v5', 'actions/deploy-pages': 'v5', 'quarto-dev/quarto-actions/setup': 'v2', 'pypa/gh-action-pypi-publish': 'v1.14.0'}

def matrix(job): return JOBS[job]['strategy']['matrix']
def runs(job): return [o['run'] for o in JOBS[job]['steps'] if 'run' in o]

def test_workflows_are_there(): assert set(FLOWS) == {'test', 'docs', 'weekly', 'release'}

@pytest.mark.parametrize('flow', FLOWS)
def test_workflow_may_read_alone(flow): assert FLOWS[flow]['permissions'] == {'contents': 'read'}

MAY = {'docs/deploy': {'pages': 'write', 'id-token': 'write'}, 'weekly/report': {'issues': 'write'}, 'release/publish': {'id-token': 'write'}}

@pytest.mark.parametrize('job', JOBS)
def test_job_may_little_and_ends(job):
    o = JOBS[job]
    assert o.get('permissions') == MAY.get(job) and 5 <= o['timeout-minutes'] <= 90
    for step in o['steps']:
        if 'uses' in step:
            name, tag = step['uses'].split('@')
            assert ACTIONS[name] == tag and (name != 'actions/checkout' or step['with'] == {'persist-credentials': False})
        for target in re.findall(r'^(?:make|python \.ci/make\.py) (\w+)', step.get('run', ''), re.M): assert target in [f.__name__ for f in make.TARGETS]
        assert not re.search(r'\$\{\{', step.get('run', ''))                # what others write reaches a shell as a variable, if at all

def test_light_part_is_tested_everywhere_and_the_lessons_on_linux_and_a_mac():
    light, all_of_it = matrix('test/light'), matrix('test/everything')['include']
    assert light['python'] == PYS and {o.split('-')[0] for o in light['os']} == {'ubuntu', 'macos', 'windows'} and runs('test/light') == ['python .ci/make.py light']
    assert [o['python'] for o in all_of_it if o['os'] == 'ubuntu-24.04'] == PYS and any(o['os'].startswith('macos') for o in all_of_it)
    assert runs('test/everything') == ['bash .ci/run']

def test_weekly_takes_the_newest_and_says_so_when_it_breaks(tmp_path):
    assert [o for o in runs('weekly/newest') if o.startswith('make')] == ['make lock', 'make licences', 'make test']
    assert matrix('weekly/newest')['python'] == [PYS[0], PYS[-1]]
    gh = tmp_path/'gh'
    gh.write_text('#!/bin/sh\necho "$@" >> "$LOG"\n[ "$2" != list ] || echo "$FOUND"\n')
    gh.chmod(0o755)
    def said(found):
        "What the script asks of gh where an issue is open (its number), or none is"
        env = dict(PATH=f'{tmp_path}:{os.environ["PATH"]}', LOG=str(tmp_path/found/'log'), FOUND=found, TITLE='It broke', BODY='this; `run`')
        (tmp_path/found).mkdir(exist_ok=True)
        subprocess.run(['bash', '-e', '-c', runs('weekly/report')[0]], env=env, check=True)
        return (tmp_path/found/'log').read_text().splitlines()[1:]
    assert said('') == ['issue create --title It broke --body this; `run`'] and said('12') == ['issue comment 12 --body this; `run`']

def test_release_is_of_the_version_that_the_tag_names():
    check, *rest = runs('release/build')
    assert rest == ['make light', 'make dist'] and JOBS['release/publish']['needs'] == 'build'
    for tag, good in ((f"v{cfg['version']}", True), ('v99.0', False), ('v0.1', False)):
        assert (subprocess.run(['bash', '-ec', check], cwd=ROOT, env=dict(os.environ, GITHUB_REF_NAME=tag)).returncode == 0) == good
