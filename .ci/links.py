"""Writes what follows from settings.ini: badges, install cells, [project.urls], URLs and table of nbs/index.ipynb, README.md, CITATION.cff.

The times in the table are those of benchmarks/results/lessons.json, which benchmarks/lessons.py takes from the record of a run of the lessons;
the answer in nbs/index.ipynb is the one that lesson 05 shows."""
import json, re
from configparser import ConfigParser

BADGES = '<!-- Badges: made by `make links` -->'
INSTALL = '# Made by `make links`.'
TABLE = '<!-- Lessons: made by `make links` -->'

def settings(root):
    "What settings.ini decides"
    cfg = ConfigParser(delimiters=['='])
    cfg.read(str(root/'settings.ini'), encoding='utf8')
    cfg = cfg['DEFAULT']
    url = cfg['git_url']
    branch = cfg['branch']
    owner, repo = url.split('/')[-2:]
    about = {k: cfg[k] for k in ('version', 'author', 'description', 'license')}
    path = f'{owner}/{repo}/blob/{branch}/nbs'
    docs = f'https://{owner}.github.io/{repo}'
    return dict(url=url, branch=branch, name=cfg['lib_name'], path=path, docs=docs, **about)

def badges(name, cfg):
    "Links that open the lesson `name` on Colab and on Paperspace"
    colab = 'https://colab.research.google.com'
    paperspace = 'https://console.paperspace.com'
    path = f'/github/{cfg["path"]}/{name}'
    return (f'[![Open in Colab]({colab}/assets/colab-badge.svg)]({colab}{path}) '
            f'[![Run on Paperspace](https://assets.paperspace.io/img/gradient-badge.svg)]({paperspace}{path})')

def install(cfg):
    "The first code cell of a lesson"
    name = cfg['name']
    url = cfg['url']
    return f'''#| hide
{INSTALL} On Colab and Paperspace: install what is missing, keep their torch. Elsewhere: nothing.
import os, subprocess, sys # chkstyle: ignore
from importlib.metadata import distributions
have = {{d.name: d.version for d in distributions()}}
hosted = 'google.colab' in sys.modules or any(k.startswith('PAPERSPACE_') for k in os.environ)
if hosted and not {{'{name}', 'dicebear-core'}} <= have.keys():
    keep = [f'{{k}}=={{have[k]}}' for k in ('torch', 'torchvision') if k in have]
    subprocess.check_call([sys.executable, '-m', 'pip', 'install', '-q', '{name}[tutorial] @ git+{url}', *keep])'''

def source(cell): return ''.join(cell['source'])

def place(cells, at, kind, mark, text, cid):
    "Put the cell whose text holds `mark` at `at(cells)`, with `text`; a cell that is right keeps its id"
    old = [c for c in cells if mark in source(c)]
    cells[:] = [c for c in cells if mark not in source(c)]
    new = old[0] if old else dict(cell_type=kind, id=cid, metadata={})
    new = dict(new, source=text.splitlines(keepends=True))
    if kind == 'code': new.update(execution_count=None, outputs=[])
    cells.insert(at(cells), new)

def first_code(cells): return next((i for i, c in enumerate(cells) if c['cell_type'] == 'code'), len(cells))

def lesson(nb, name, cfg):
    "Badges below the title, the install cell before any other code"
    place(nb['cells'], lambda cells: 1, 'markdown', BADGES, f'{BADGES}\n{badges(name, cfg)}', 'badges')
    place(nb['cells'], first_code, 'code', INSTALL, install(cfg), 'install')

def minutes(seconds):
    "As the table says it"
    if seconds is None: return 'not measured'
    return f'{seconds:.0f} s' if seconds < 90 else f'{seconds/60:.0f} min'

def table(lessons, cfg, times):
    "A row for each lesson: title, subtitle, the time it takes on two cores (`times`: lesson -> dict of seconds)"
    base = f'{cfg["url"]}/blob/{cfg["branch"]}/nbs'
    rows = [TABLE, '', '| Lesson | | Two cores |', '|:--|:--|:--|']
    for name, nb in lessons.items():
        title = re.search(r'^# (.+?)\n+> (.+?)(?:\n|$)', source(nb['cells'][0]))
        if not title: continue
        seconds = times.get(name[:-len('.ipynb')], {})
        rows.append(f'| [{name[:2]} {title[1]}]({base}/{name}) | {title[2]} | {minutes(seconds.get("cpu"))} |')
    return '\n'.join(rows)

def answer(lessons):
    "What lesson 05 shows below `clf(photo)`"
    cells = [c for name, nb in lessons.items() if name.startswith('05') for c in nb['cells'] if source(c).endswith('clf(photo)')]
    return [o for c in cells for o in c['outputs'] if o['output_type'] == 'execute_result']

def index(nb, lessons, cfg, times):
    "The table of lessons, the answer, and the repository's address, wherever it is cloned or installed from"
    for c in nb['cells']:
        text = re.sub(r'(git clone |git\+)https://[^\s"\'`]+', r'\g<1>'+cfg['url'], source(c))
        at = cfg['url'].replace('https://github.com/', '')
        text = re.sub(r'(colab\.research\.google\.com/github/)[^/]+/[^/]+/blob/[^/]+', rf'\g<1>{at}/blob/{cfg["branch"]}', text)
        if TABLE in text: text = table(lessons, cfg, times)
        if c['cell_type'] == 'code' and 'Classifier(' in text:
            c['outputs'] = [dict(o, execution_count=None) for o in answer(lessons)]
        c['source'] = text.splitlines(keepends=True)

def from_root(text):
    "Links and pictures of a page in nbs/, as they are from the root"
    text = re.sub(r'(\]\(|src=")(?!\w+:|#|/)', r'\1nbs/', text)
    return re.sub(r'(\]\(|src=")nbs/\.\./', r'\1', text)

def citation(cfg):
    "CITATION.cff, which GitHub and reference managers read"
    return f'''# Made by `make links`
cff-version: 1.2.0
message: If you use it, please cite it as below.
type: software
title: "{cfg['name']}"
version: "{cfg['version']}"
abstract: "{cfg['description']}"
authors:
  - name: "{cfg['author']}"
license: {cfg['license']}
repository-code: "{cfg['url']}"
references:
  - type: blog
    title: Image classification with fastai
    authors:
      - family-names: Larsson
        given-names: Andre
    year: 2021
'''

def readme(nb):
    "The notebook as Markdown: code fenced without its directives, printed results below it"
    parts = ['<!-- Made from nbs/index.ipynb by `make links` -->']
    for c in nb['cells']:
        text = source(c).strip()
        if c['cell_type'] == 'code':
            code = re.sub(r'^#[|] .*', '', text, flags=re.M).strip()
            parts.append(f'```python\n{code}\n```')
        else: parts.append(from_root(text))
        for o in c.get('outputs', []):
            printed = ''.join(o.get('text') or o.get('data', {}).get('text/plain') or '').rstrip()
            if printed: parts.append(f'```\n{printed}\n```')
    return '\n\n'.join(parts)+'\n'

def urls(text, cfg):
    "pyproject.toml with this repository's [project.urls]"
    new = f'[project.urls]\nRepository = "{cfg["url"]}"\nDocumentation = "{cfg["docs"]}"\n'
    return re.sub(r'\[project\.urls\]\n(?:\w.*\n)*', lambda m: new, text)

def write_links(root):
    "Bring all of it in step; the files that were changed"
    cfg = settings(root)
    changed = []
    def put(path, text):
        if path.exists() and path.read_text(encoding='utf8') == text: return
        path.write_text(text, encoding='utf8')
        changed.append(str(path.relative_to(root)))
    def dump(nb): return json.dumps(nb, sort_keys=True, indent=1, ensure_ascii=False)+'\n'
    def load(path): return json.loads(path.read_text(encoding='utf8'))
    put(root/'pyproject.toml', urls((root/'pyproject.toml').read_text(encoding='utf8'), cfg))
    lessons = {f.name: load(f) for f in sorted((root/'nbs').glob('0[1-6]*.ipynb'))}
    for name, nb in lessons.items():
        lesson(nb, name, cfg)
        put(root/'nbs'/name, dump(nb))
    path = root/'nbs'/'index.ipynb'
    seconds = root/'benchmarks'/'results'/'lessons.json'
    times = {o['lesson']: o for o in load(seconds)['rows']} if seconds.exists() else {}
    nb = load(path)
    index(nb, lessons, cfg, times)
    put(path, dump(nb))
    put(root/'README.md', readme(nb))
    put(root/'CITATION.cff', citation(cfg))
    return changed

def leave_site(root):
    "Links of the built site (_docs/) to files of the repository that are not on it lead to the repository"
    cfg = settings(root)
    site = root/'_docs'
    notebooks = (root/'nbs').resolve()
    changed = []
    for page in [*site.rglob('*.html'), *site.rglob('*.md')]:
        folder = notebooks/page.relative_to(site).parent
        def to_repository(m):
            path = (folder/m[2]).resolve()
            if notebooks in path.parents or not path.exists(): return m[0]
            return f'{m[1]}{cfg["url"]}/blob/{cfg["branch"]}/{path.relative_to(root.resolve()).as_posix()}'
        old = page.read_text(encoding='utf8')
        new = re.sub(r'(href="|\]\()(\.\./[^")#\s]+)', to_repository, old)
        if new == old: continue
        page.write_text(new, encoding='utf8')
        changed.append(str(page.relative_to(root)))
    return changed
