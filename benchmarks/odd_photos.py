"""Are photos of something else the least like all others? Drawn portraits (no portrait, two people) of three sets; with PHOTOS=<folder of folders, one
of them offtopic/> real ones too: how many stand in the least alike, and in what share of pairs the odd one is the less alike (AUROC)."""
import csv, os, tempfile
from pathlib import Path
from _report import report

def row(name, files, odd, feats):
    from sklearn.metrics import roc_auc_score
    from eyewear.data.duplicates import likeness
    like, n = likeness(feats), len(files)//20
    first = like.argsort()[:n]
    return dict(photos=name, n=len(files), odd=int(sum(odd)), in_first_twentieth=f'{sum(odd[i] for i in first)} of {min(n, sum(odd))}', auroc=float(roc_auc_score(odd, -like)))

def practice(seed, home):
    from eyewear.clean import clean
    from eyewear.model.features import photo_features
    from eyewear.data.dataset import Dataset
    from eyewear.data.practice import make_practice
    ds = make_practice(Dataset.create(f'{home}/practice-{seed}'), seed=seed)
    clean(ds)
    key = {r['file']: r['trouble'] for r in csv.DictReader((ds.path/'answer_key.csv').open())}
    files = ds.files()
    return row(f'drawn, set {seed}', files, [key[f.name] in ('no_portrait', 'two_people') for f in files], photo_features(ds, files))

def real(folder):
    from eyewear.model.backbone import get_backbone
    from eyewear.model.features import features
    from eyewear.photo import looks, open_photo
    files = sorted(f for f in Path(folder).glob('[!.]*/*') if f.is_file())
    seen = [looks(open_photo(f)) for f in files]
    print(f"real photos: darkest {min(o['grey'] for o in seen):.1f}, softest {min(o['sharp'] for o in seen):.1f}")
    return row('real', files, [f.parent.name == 'offtopic' for f in files], features(files, get_backbone()))

def main():
    with tempfile.TemporaryDirectory() as home:
        os.environ['EYEWEAR_HOME'] = home
        rows = [practice(seed, home) for seed in range(3)]
    if os.environ.get('PHOTOS'): rows.append(real(os.environ['PHOTOS']))
    else: print('no PHOTOS=<folder>: real photos are left out')
    report('odd_photos', rows)

if __name__ == '__main__': main()
