"""Does the model know what it has never seen, and do its probabilities mean what they say? Cached training on 600 drawn portraits put right by the key
(and, with PHOTOS=<folder of folders, one of them offtopic/>, on real photos): AUROC of pictures of something else against new photos, for the score
that is kept and for those that lost; calibration error on the test photos before and after scaling. Some five minutes a set on two cores."""
import os, random, tempfile
from pathlib import Path
import numpy as np
from _report import report

SEEDS = [int(o) for o in os.environ.get('SEEDS', '0').split(',')]
THINGS = 150                                            # Drawings of no person that no training saw

def practice(seed, home):
    "The dataset, right labels of its test photos, and files of something else"
    from eyewear.clean import clean
    from eyewear.data.dataset import Dataset
    from eyewear.data.draw import background, render, thing, warm
    from eyewear.data.practice import review_by_key
    from eyewear.data.practice import make_practice
    ds = make_practice(Dataset.create(f'{home}/practice-{seed}'), limit=int(os.environ.get('EYEWEAR_LIMIT', 150)), seed=seed)
    clean(ds)
    review_by_key(ds, [dict(name=f.name, why='all') for f in ds.files()])
    warm()
    other = [Path(home)/f'thing-{seed}-{i}.jpg' for i in range(THINGS)]
    for i, f in enumerate(other):
        rng = random.Random(f'unseen {seed} {i}')
        render(background(rng)+thing(rng), 320).save(f, quality=90)
    return ds, other

def real(folder):
    from eyewear.clean import clean
    from eyewear.download import download
    labels = sorted(o.name for o in Path(folder).iterdir() if o.is_dir() and o.name != 'offtopic' and not o.name.startswith('.'))
    ds = download(folder, 10_000, labels)
    clean(ds)
    return ds, sorted(f for f in (Path(folder)/'offtopic').iterdir() if f.suffix.lower() in ('.jpg','.jpeg','.png','.webp'))

def scores(train, y, logits, feats):
    "Every score that was tried, of photos with `logits` and `feats`; higher is less like what was seen"
    from scipy.special import logsumexp
    from sklearn.covariance import LedoitWolf
    from eyewear.model.metrics import keep_seen, unit, unlike
    means = np.stack([train[y == c].mean(0) for c in np.unique(y)])
    inv = np.linalg.inv(LedoitWolf(assume_centered=True).fit(train-means[np.searchsorted(np.unique(y), y)]).covariance_.astype(float))
    far = lambda m: np.einsum('nd,de,ne->n', feats-m, inv, feats-m)
    mid, axes = train.mean(0), np.linalg.svd(train-train.mean(0), full_matrices=False)[2][:64]
    return {'cosine, fifth (kept)': unlike(feats, keep_seen(train)), 'cosine, first': 1-(unit(feats)@unit(train).T).max(1),
            'Mahalanobis': np.min([far(m) for m in means], 0), 'residual of 64 components': np.linalg.norm(feats-mid-(feats-mid)@axes.T@axes, axis=1),
            'energy': -logsumexp(logits, 1), '1 - largest probability': 1-np.exp(logits-logsumexp(logits, 1, keepdims=True)).max(1)}

def measure(name, ds, other):
    from scipy.special import softmax
    from sklearn.metrics import roc_auc_score
    from eyewear.model.metrics import calibrate, ece, outputs
    from eyewear.data.practice import right_labels
    from eyewear.train import train
    learn, files, split = train(ds, 'tf_efficientnet_lite0', how='cached'), ds.files(), ds.split()
    (logits, feats), (l2, f2) = outputs(learn, files), outputs(learn, other)
    c = calibrate(learn, ds, (files, logits, feats))
    o2i, part, right = learn.dls.vocab.o2i, np.array([split[f.name] for f in files]), right_labels(ds) or {}
    y = np.array([o2i[f.parent.name] for f in files])
    new, n = part != 'train', len(files)
    for what, s in scores(feats[~new], y[~new], np.concatenate([logits, l2]), np.concatenate([feats, f2])).items():
        border = np.quantile(s[:n][part == 'valid'], .95, method='higher')
        yield dict(photos=name, new=int(new.sum()), other=len(other), score=what, auroc=float(roc_auc_score([0]*new.sum()+[1]*len(other), np.r_[s[:n][new], s[n:]])),
                   caught=float((s[n:] > border).mean()))
    keep = [i for i, f in enumerate(files) if part[i] == 'test' and (right.get(f.name) if right else True)]
    yy = [o2i[right[files[i].name] if right else files[i].parent.name] for i in keep]
    yield dict(photos=name, new=len(keep), labels='right ones' if right else 'as found', ece_before=float(ece(softmax(logits[keep], 1), yy)),
               ece_after=float(ece(softmax(logits[keep]/c.temperature, 1), yy)), temperature=c.temperature, wrong=float((np.argmax(logits[keep], 1) != yy).mean()))

def main():
    photos = os.environ.get('PHOTOS') and str(Path(os.environ['PHOTOS']).resolve())
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(EYEWEAR_HOME=home, EYEWEAR_RUN=f'{home}/runs/one')
        rows = [r for seed in SEEDS for r in measure(f'drawn, set {seed}', *practice(seed, home))]
        if photos: rows += measure('real', *real(photos))
        else: print('no PHOTOS=<folder>: real photos skipped')
    kept = [r['auroc'] for r in rows if 'kept' in r.get('score', '')]
    drawn = [r['ece_after'] for r in rows if 'ece_after' in r and r['photos'] != 'real']
    report('unknown', [r for r in rows if 'score' in r], calibration=[r for r in rows if 'ece_after' in r], goal='AUROC .95, calibration error .03 on drawn portraits',
           met=bool(min(kept) >= .95 and max(drawn) <= .03))

if __name__ == '__main__': main()
