"""Photos a second through Ray with one and two workers, against the plain loop of `eyewear-predict` with one and two threads: the same photos, the same model, one run, and the
same answers. What Ray needs beside the photos is said apart: it starts, then its workers do (the first job of a few photos); the pace is that of a large job less a job of
a quarter of it. An untrained lite0 is as fast as a trained one."""
import importlib.util, os, sys, tempfile, time
from pathlib import Path
from _report import report

N, FEW, GOAL = int(os.environ.get('MANY', 4000)), 8, .8

def timed(f, *args, **kw):
    start = time.perf_counter()
    out = f(*args, **kw)
    return time.perf_counter()-start, out

def row(what, photos, seconds, start=0.):
    return dict(what=what, photos=photos, start_s=round(start, 1), seconds=round(seconds, 1), photos_a_second=round(photos/seconds, 1),
                hours_a_million=round((start+1e6*seconds/photos)/3600, 2))

def plain(clf, files, workers):
    "The loop of `predict_files` with so many threads; its rows without the first line"
    from eyewear.predict import csv_row
    return [list(map(str, csv_row(f, p, clf.labels))) for f, p in clf.many(files, workers)]

def answers(out):
    "The table in `out` in the form and order of `plain`"
    from pyarrow.dataset import dataset
    say = lambda v: '' if v is None else v if isinstance(v, str) else f'{v:.4f}'
    return sorted([say(v) for v in r.values()] for r in dataset(out, format='parquet').to_table().to_pylist())

def main():
    if not all(map(importlib.util.find_spec, ('ray', 'pyarrow'))): return print("batch: needs `pip install 'eyewear[ray]'`")
    from predict import learner, portraits
    from eyewear.model.cluster import classify, ray_env, start_ray
    from eyewear.export import export_onnx
    from eyewear.predict import Classifier
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(ray_env, EYEWEAR_HOME=home, EYEWEAR_RUN=f'{home}/run', PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
        ds, learn = learner(home)
        clf = Classifier(export_onnx(learn, ds))
        files, part, few = (portraits(Path(home)/name, k) for name, k in (('many', N), ('part', N//4), ('few', FEW)))
        rows = []
        for n, name in ((1, 'one thread'), (2, 'two threads')):
            seconds, want = timed(plain, clf, files, n)
            rows.append(row(f'plain loop, {name}', N, seconds))
        init = timed(start_ray, None, 2)[0]
        for n, name in ((1, 'one worker'), (2, 'two workers')):
            first, short, seconds = (timed(classify, [o[0].parent], f'{home}/out{n}-{len(o)}', clf.path, workers=n)[0] for o in (few, part, files))
            assert answers(f'{home}/out{n}-{N}') == sorted(want), 'other answers than the plain loop'
            rows.append(row(f'Ray, {name}', N-len(part), seconds-short, init+first))
    share = {n: rows[2+i]['photos_a_second']/rows[i]['photos_a_second'] for i, n in enumerate((1, 2))}
    report('batch', rows, ray_start_s=round(init, 1), times_the_plain_loop_1=round(share[1], 2), times_the_plain_loop_2=round(share[2], 2),
           two_workers_against_one=round(rows[3]['photos_a_second']/rows[2]['photos_a_second'], 2),
           goal=f"the same answers; on one machine at least {GOAL} of the plain loop's photos a second, start apart", met=min(share.values()) >= GOAL)

if __name__ == '__main__': main()
