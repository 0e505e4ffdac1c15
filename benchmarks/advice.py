"""The seed's advice, tried on 600 drawn portraits as they come (wrong labels included): more epochs, another backbone, the learning-rate finder. Where weights cannot be
fetched a row says "not measured here". PHOTOS_N and EPOCHS make a short form. On a CPU all rows are trained in the cached way."""
import os, tempfile, time
from pathlib import Path
from _report import report

N = int(os.environ.get('PHOTOS_N', 600))
EPOCHS = [int(o) for o in os.environ.get('EPOCHS', '8,12,20').split(',')]

def row(ds, advice, arch, epochs, **kwargs):
    "Errors after a training of `epochs`, or why there is none"
    from eyewear.core import EyewearError, say_error
    from eyewear.model.metrics import error_figures
    from eyewear.train import train
    start = time.perf_counter()
    try: learn = train(ds, arch, epochs, **kwargs)
    except EyewearError as e:
        print(e)
        return dict(advice=advice, backbone=arch, epochs=epochs, result='not measured here')
    seconds = time.perf_counter()-start
    v, t = error_figures(learn, ds)
    return dict(advice=advice, backbone=arch, epochs=epochs, result='measured', how=learn.how, valid=say_error(v), test=say_error(t), seconds=round(seconds))

def found_lr(ds, arch):
    "What fastai's finder proposes for the head"
    from eyewear.model.backbone import get_backbone
    from eyewear.model.training import get_learner
    learn = get_learner(ds, get_backbone(arch))
    learn.path = Path(os.environ['EYEWEAR_HOME']) # Where `lr_find` keeps the weights meanwhile
    with learn.no_bar(), learn.no_logging(): return learn.lr_find(num_it=40, show_plot=False).valley

def main():
    from eyewear.clean import clean
    from eyewear.core import EyewearError
    from eyewear.data.dataset import Dataset
    from eyewear.data.practice import make_practice
    ours = 'tf_efficientnet_lite0'
    with tempfile.TemporaryDirectory() as home:
        os.environ['EYEWEAR_HOME'] = home
        ds = make_practice(Dataset.create(f'{home}/practice'), limit=N//4)
        clean(ds)
        rows = [row(ds, 'as it is' if n == EPOCHS[0] else 'more epochs', ours, n) for n in EPOCHS]
        rows += [row(ds, 'another backbone', o, EPOCHS[0]) for o in ('resnet18', 'resnet34')]
        lr = found_lr(ds, ours)
        rows.append(dict(advice='learning-rate finder', backbone=ours, epochs='', result=f'proposes {lr:.1e}'))
        report('advice' if N == 600 else 'advice_short', rows, photos=len(ds.files()), right='test: against the answer key; valid: against the labels as they come')

if __name__ == '__main__': main()
