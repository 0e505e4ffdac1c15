"One way to print what a benchmark found and to keep it: a table, and benchmarks/results/<name>.json."
import json, os, platform
from datetime import date
from pathlib import Path

def machine():
    "What the figures depend on, without the name of the machine"
    try: cpu = next(l.split(':')[1].strip() for l in Path('/proc/cpuinfo').read_text().splitlines() if l.startswith('model name'))
    except (OSError, StopIteration): cpu = platform.processor()
    return f'{os.cpu_count()} cores, {cpu or platform.machine()}, {platform.system()}, Python {platform.python_version()}'

def cell(v):
    "A figure as a table shows it"
    if isinstance(v, float): return f'{v:,.3f}'.rstrip('0').rstrip('.')
    if not isinstance(v, dict): return str(v)
    from eyewear.model.metrics import say_error # Of `wilson`
    return say_error(v)

def report(name, rows, **about):
    "Print `rows` (dicts with the same keys) as a table and `about` below it; write all of it to results/<name>.json"
    keys = list(dict.fromkeys(k for r in rows for k in r))
    cells = [keys, *([cell(r.get(k, '')) for k in keys] for r in rows)]
    wide = [max(map(len, col)) for col in zip(*cells)]
    print(f'\n== {name}')
    for line in cells: print('  '.join(c.ljust(w) for c, w in zip(line, wide)).rstrip())
    for k, v in about.items(): print(f'{k}: {v}')
    out = Path(__file__).parent/'results'/f'{name}.json'
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(dict(machine=machine(), date=date.today().isoformat(), **about, rows=rows), indent=1, default=str)+'\n')
