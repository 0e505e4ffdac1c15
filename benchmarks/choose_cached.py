"""Cut, views and epochs of the cached way: error and seconds for each choice, on 600 drawn portraits with the right labels (as after the review of lesson 04).
The setting in use, seven around it, and one in which all late layers learn, not their batch norm and the head alone; then what a set of FEW photos needs,
80 of the train photos alone, judged by the same test photos. A training for each of SEEDS (0,1,2).
PHOTOS_N makes a short form. Activations of a cut are computed once, for the most views, and their seconds counted per view."""
import os, tempfile, time
from _report import report

N, SEEDS = int(os.environ.get('PHOTOS_N', 600)), [int(o) for o in os.environ.get('SEEDS', '0,1,2').split(',')]
CUTS, VIEWS, EPOCHS = (6, 7, 8), (1, 2, 3), (4, 8, 12, 16)
NOW, FEW = (7, 2, 8), 80
FEW_TRIES = (2, 8), (2, 20), (8, 8), (8, 20), (8, 40) # Views, epochs

def right_set(home):
    "600 drawn portraits, cleaned, with right labels"
    from eyewear.clean import clean
    from eyewear.data.dataset import Dataset
    from eyewear.data.practice import review_by_key
    from eyewear.data.practice import make_practice
    ds = make_practice(Dataset.create(f'{home}/practice'), limit=N//4)
    clean(ds)
    review_by_key(ds, [dict(name=f.name, why='all') for f in ds.files()])
    return ds

def one(ds, acts, files, part, cut, views, epochs, seed, all_late=False, photos=None):
    "Errors of one training on the first `views` augmented views of the first `photos` train photos (they are in the order of their digests)"
    import numpy as np, torch
    from fastai.vision.all import nn, set_seed
    from eyewear.model.backbone import get_backbone
    from eyewear.model.metrics import wilson
    from eyewear.model.training import fit_late, get_learner
    set_seed(seed)
    backbone = get_backbone('tf_efficientnet_lite0')
    learn = get_learner(ds, backbone)
    late = nn.Sequential(learn.model[0][cut:], learn.model[1])
    if all_late: late.requires_grad_(True)
    y = torch.tensor([learn.dls.vocab.o2i[f.parent.name] for f in files])
    test, know = part == 'test', part != 'test'
    if photos: know &= (part != 'train') | (np.cumsum(part == 'train') <= photos)
    start = time.perf_counter()
    fast = fit_late(late, acts[know][:, :views+1], y[know], torch.from_numpy(part[know] == 'valid'), epochs, quiet=True, seed=seed)
    seconds = time.perf_counter()-start
    late.eval()
    with torch.no_grad(): said = torch.cat([late(a.float().to(fast.dls.device)).argmax(1).cpu() for a in acts[test][:, 0].split(32)])
    wrong = int((said != y[test]).sum())
    return dict(valid=float(fast.recorder.values[-1][2]), **wilson(wrong, int(test.sum())), seconds_fit=seconds)

def choices():
    "Every cut with the usual views and epochs; views, epochs and what learns around the cut in use; the same cut with few photos"
    cut, views, epochs = NOW
    yield from ((c, views, epochs, False, None) for c in CUTS)
    yield from ((cut, v, epochs, False, None) for v in VIEWS if v != views)
    yield from ((cut, views, e, False, None) for e in EPOCHS if e != epochs)
    yield cut, views, epochs, True, None
    yield from ((cut, v, e, False, FEW) for v, e in FEW_TRIES)

def main():
    import numpy as np, torch
    from eyewear.model.backbone import get_backbone
    from eyewear.model.features import view_activations
    from eyewear.model.training import get_learner
    with tempfile.TemporaryDirectory() as home:
        os.environ['EYEWEAR_HOME'] = home
        ds, rows, kept = right_set(home), [], {}
        files, split, backbone = sorted(ds.files(), key=lambda f: f.stem.split('_')[-1]), ds.split(), get_backbone('tf_efficientnet_lite0')
        part, most = np.array([split[f.name] for f in files]), max(v for _, v, *_ in choices())
        for cut, views, epochs, all_late, photos in choices():
            if cut not in kept:
                backbone.early = cut
                start = time.perf_counter()
                acts = view_activations(ds, get_learner(ds, backbone), backbone, files, n=most)
                kept = {cut: (acts, (time.perf_counter()-start)/(most+1))} | ({NOW[0]: kept[NOW[0]]} if NOW[0] in kept else {})
            acts, per_view = kept[cut]
            for seed in SEEDS:
                row = one(ds, acts, files, part, cut, views, epochs, seed, all_late, photos)
                rows.append(dict(photos=photos or int(sum(part == 'train')), cut=cut, views=views, epochs=epochs, learns='all late layers' if all_late else 'batch norm and head', seed=seed, **row,
                    seconds_activations=per_view*(views+1), seconds=row['seconds_fit']+per_view*(views+1)*len(part[part != 'test'])/len(part)))
                print(rows[-1], flush=True)
        report('choose_cached' if N == 600 else 'choose_cached_short', rows, photos=len(files), threads=torch.get_num_threads(), in_use='cut {}, {} views, {} epochs; of both up to four times as many where photos are few'.format(*NOW))

if __name__ == '__main__': main()
