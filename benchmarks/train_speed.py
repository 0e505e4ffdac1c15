"""From 600 drawn portraits on disk to a trained model on a CPU: ours (`train`, cold cache) against the seed's recipe (resnet18 at 224 px, `fine_tune(7)`, photos
opened in every epoch). The seed's weights may be out of reach: random ones take as long. Of its eight epochs one of each kind is measured (head alone; all layers),
and the second is taken seven times. EPOCHS_SEED=all runs all eight. PHOTOS_N (600) and BATCHES (all) make a short form, which meets no goal."""
import os, shutil, tempfile, time
from _report import report

N, BATCHES = int(os.environ.get('PHOTOS_N', 600)), int(os.environ.get('BATCHES', 0))
WHOLE = N == 600 and not BATCHES

def seed_learner(ds):
    "The seed's `DataBlock` and `Learner` as they were, with random weights"
    from fastai.vision.all import CategoryBlock, DataBlock, FuncSplitter, ImageBlock, RandomResizedCrop, aug_transforms, error_rate, parent_label, vision_learner
    from torchvision.models import resnet18
    split = ds.split()
    files = [f for f in ds.files() if split[f.name] != 'test']
    block = DataBlock(blocks=(ImageBlock, CategoryBlock), get_items=lambda _: files, splitter=FuncSplitter(lambda f: split[f.name] == 'valid'),
        get_y=parent_label, item_tfms=RandomResizedCrop(224, min_scale=0.5), batch_tfms=aug_transforms())
    return vision_learner(block.dataloaders(ds.path, num_workers=0), resnet18, pretrained=False, metrics=error_rate)

def epoch(learn):
    "Seconds of one epoch: all train and valid photos, or BATCHES of the first and their share"
    from fastai.callback.core import Callback
    from fastai.basics import CancelTrainException, CancelValidException
    class Few(Callback):
        def before_batch(self):
            if BATCHES and self.iter >= BATCHES: raise CancelTrainException if self.training else CancelValidException
    start = time.perf_counter()
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3, cbs=Few())
    seconds = time.perf_counter()-start
    return seconds*max(len(learn.dls.train)/BATCHES, 1) if BATCHES else seconds

def seed(ds):
    "Seconds of the seed's recipe, and how the total was formed"
    start = time.perf_counter()
    learn = seed_learner(ds)
    made = time.perf_counter()-start
    if not len(learn.dls.train): raise SystemExit(f'PHOTOS_N={N}: fewer than 64 train photos make no batch of the seed; take 160 or more')
    learn.freeze_to(-1)
    head = epoch(learn)
    learn.unfreeze()
    if os.environ.get('EPOCHS_SEED') == 'all': full = [epoch(learn) for _ in range(7)]
    else: full = [epoch(learn)]
    total = made+head+7*sum(full)/len(full)
    return total, f'{made:.1f} s to make + {head:.1f} s (head) + 7 x {sum(full)/len(full):.1f} s ({len(full)} measured{", from some batches" if BATCHES else ""})'

def right_error(ds, learn):
    from eyewear.model.metrics import error_figures
    return error_figures(learn, ds)[1]

def main():
    import fastai.vision.all, torch # Both sides need these; their import is not part of a training
    from eyewear.clean import clean
    from eyewear.data.dataset import Dataset
    from eyewear.data.practice import review_by_key
    from eyewear.data.practice import make_practice
    from eyewear.train import train
    with tempfile.TemporaryDirectory() as home:
        os.environ['EYEWEAR_HOME'] = home
        ds = make_practice(Dataset.create(f'{home}/practice'), limit=max(N//4, 4))
        clean(ds)
        review_by_key(ds, [dict(name=f.name, why='all') for f in ds.files()]) # As after the review of lesson 04
        rows = []
        for i in range(1 if not WHOLE else 2): # Ours twice, so that the spread is seen; the cache is cold each time
            shutil.rmtree(ds.path/'.cache', ignore_errors=True)
            start = time.perf_counter()
            learn = train(ds, 'tf_efficientnet_lite0', how='cached')
            rows.append(dict(what='eyewear, cold cache', photos=len(ds.files()), seconds=time.perf_counter()-start, **right_error(ds, learn)))
        start = time.perf_counter()
        train(ds, 'tf_efficientnet_lite0', how='cached')
        rows.append(dict(what='eyewear, warm cache', photos=len(ds.files()), seconds=time.perf_counter()-start))
        total, how = seed(ds)
        rows.append(dict(what="the seed's recipe", photos=len(ds.files()), seconds=total))
        ours = max(r['seconds'] for r in rows if 'cold' in r['what'])
        error = max(r['error'] for r in rows if 'error' in r)
        report('train_speed' if WHOLE else 'train_speed_short', rows, seed_total=how, threads=torch.get_num_threads(), times_as_fast=round(total/ours, 1),
            goal='5 times as fast, 90 s, error on right test labels at most 4 %', met=bool(WHOLE and total/ours >= 5 and ours <= 90 and error <= .04))

if __name__ == '__main__': main()
