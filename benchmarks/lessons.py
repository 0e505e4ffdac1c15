"How long each lesson takes, from the record of the newest run on all practice portraits (`make run SOURCE=practice SERVE=0` or `make lessons`): nothing is run here."
import json
from pathlib import Path
from eyewear.core import home
from _report import report

RESULT = Path(__file__).parent/'results'/'lessons.json'

def newest():
    "The record of the newest run that went through, on 500 drawn portraits or more; None where there is none"
    for path in sorted((home()/'runs').glob('*/summary.json'), reverse=True):
        rec = json.loads(path.read_text(encoding='utf8'))
        if rec.get('source') == 'practice' and sum(rec['photos'].values()) >= 500 and len(rec.get('seconds', {})) >= 5: return rec

def rows(rec, old):
    "Seconds of each lesson, beside those that another kind of machine took"
    side = 'cpu' if rec['training']['device'] == 'cpu' else 'gpu'
    new = {k: {'lesson': k, 'cpu': None, 'gpu': None, **old.get(k, {})} for k in sorted({*old, *rec['seconds']})}
    for k, v in rec['seconds'].items(): new[k][side] = v
    return list(new.values())

if __name__ == '__main__':
    rec = newest()
    old = {o['lesson']: o for o in json.loads(RESULT.read_text())['rows']} if RESULT.exists() else {}
    if rec: report('lessons', rows(rec, old), unit='seconds', photos=sum(rec['photos'].values()))
    else: print(f'lessons: no whole run on the practice portraits in {home()/"runs"}; run `make lessons` first')
