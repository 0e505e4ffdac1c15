"""From a photo to probabilities. One photo without decoding, from a file, and by fastai's `predict`; a folder of 2,000 through `eyewear-predict` against the bare sum of
opening and forward passes, with its memory beside that of a folder of 200. fastai's side is what the seed's
app does: `load_learner`, then `predict`. An untrained lite0 answers as fast as a trained one, so nothing is trained."""
import io, os, subprocess, sys, tempfile, time
from contextlib import redirect_stdout
from pathlib import Path
import numpy as np
from _report import report

FEW, MANY, ROUNDS = 200, int(os.environ.get('MANY', 2000)), 100
CHILD = '''
import os, resource, sys, time
from pathlib import Path
from eyewear.predict import predict_files
start = time.perf_counter()
n = predict_files([sys.argv[1]], sys.argv[2], os.devnull)
status = Path('/proc/self/status')                    # Linux: getrusage would count the parent's memory too
peak = int(status.read_text().split('VmHWM:')[1].split()[0]) if status.exists() else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(n, time.perf_counter()-start, peak/1024)
'''

def times(f, args):
    "Milliseconds of `f` for each of `args`, the first three not counted"
    out = []
    for a in args:
        start = time.perf_counter()
        f(a)
        out.append((time.perf_counter()-start)*1000)
    return np.array(out[3:])

def learner(home):
    "An untrained lite0 on a few drawn portraits"
    from eyewear.model.backbone import get_backbone
    from eyewear.data.dataset import Dataset
    from eyewear.data.practice import make_practice
    from eyewear.model.training import get_learner
    ds = make_practice(Dataset.create(f'{home}/practice'), limit=8)
    for f in ds.files():
        if not ds.row(f.name)['width']: ds.decide(f.name, None)
    backbone = get_backbone('tf_efficientnet_lite0')
    learn = get_learner(ds, backbone)
    return ds, learn

def portraits(folder, n):
    "`n` drawn portraits as files, 64 of them different"
    from eyewear.data.practice import LABELS, portrait
    folder.mkdir()
    data = []
    for i in range(min(n, 64)):
        portrait(LABELS[i%4], i, size=480).save(folder/'a.jpg', quality=90)
        data.append((folder/'a.jpg').read_bytes())
    (folder/'a.jpg').unlink()
    for i in range(n): (folder/f'{i:05}.jpg').write_bytes(data[i%len(data)])
    return sorted(folder.iterdir())

def folder_row(name, folder, model, floor):
    n, seconds, peak = map(float, subprocess.check_output([sys.executable, '-c', CHILD, str(folder), str(model)], text=True).split())
    return dict(what=name, photos=int(n), seconds=seconds, ms_a_photo=seconds/n*1000, times_the_floor=seconds*1000/n/floor, peak_mb=round(peak))

def main():
    from eyewear.photo import open_photo, resize_for_model
    from fastai.learner import load_learner
    from eyewear.export import export_onnx
    from eyewear.model.onnx import export_pkl
    from eyewear.predict import Classifier
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(EYEWEAR_HOME=home, EYEWEAR_RUN=f'{home}/run')
        ds, learn = learner(home)
        model = export_onnx(learn, ds)
        few, many = portraits(Path(home)/'few', FEW), portraits(Path(home)/'many', MANY)
        rows, med = [], {}
        def add(name, ms): med[name] = float(np.median(ms)); rows.append(dict(what=name, best_ms=float(ms.min()), p50_ms=med[name], p95_ms=float(np.quantile(ms, .95))))
        files = few[:ROUNDS+3]
        for name, threads in (('one thread', 1), ('all cores', 0)):
            clf = Classifier(model, threads=threads)
            add(f'forward, {name}', times(clf._run, [resize_for_model(open_photo(f))[None] for f in files]))
            add(f'file to probabilities, {name}', times(clf, files))
        export_pkl(learn, Path(home)/'eyewear-inf.pkl')
        learn = load_learner(Path(home)/'eyewear-inf.pkl')
        with redirect_stdout(io.StringIO()): add("fastai's load_learner, predict", times(learn.predict, files[:33]))
        with learn.no_bar(): add('the same without progress bar', times(learn.predict, files[:33]))
        add('opening and fitting', times(lambda f: resize_for_model(open_photo(f)), files))
        floor = med['opening and fitting']+med['forward, one thread']
        rows += [folder_row(f'eyewear-predict, {n} photos', Path(home)/d, model, floor) for d, n in (('few', FEW), ('many', MANY))]
    faster, grows = med["fastai's load_learner, predict"]/med['file to probabilities, one thread'], rows[-1]['peak_mb']-rows[-2]['peak_mb']
    report('predict', rows, floor_ms=round(floor, 2), times_as_fast_as_the_learner=round(faster, 1), memory_grows_mb=grows,
           goal='forward at most 10 ms on one thread; 10 times as fast as the Learner; a folder within 1.3 times the floor; memory flat (30 MB)',
           met=bool(med['forward, one thread'] <= 10 and faster >= 10 and rows[-1]['times_the_floor'] <= 1.3 and grows <= 30))

if __name__ == '__main__': main()
