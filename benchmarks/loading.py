"""The seed's recipe (resnet18, 224 px, batches of 64) with our loading (each photo decoded once, small copies kept as uint8) against fastai's (each photo opened
in every epoch): seconds of one epoch, and of its loading alone. With a GPU also against the compute floor: the same steps on random tensors that are there already.
Photos of the web are larger than the drawn ones: SIDE (1024, as they are stored) makes them so. PHOTOS_N and ROUNDS make a short form."""
import io, os, tempfile, time
from _report import report

N, SIDE, ROUNDS = int(os.environ.get('PHOTOS_N', 600)), int(os.environ.get('SIDE', 1024)), int(os.environ.get('ROUNDS', 2))

def photos(home):
    "Drawn portraits, enlarged to `SIDE` as JPEGs, in two labels"
    from PIL import Image
    from eyewear.core import PhotoError
    from eyewear.photo import open_photo
    from eyewear.data.dataset import Dataset
    from eyewear.data.practice import practice_photos
    ds = Dataset.create(f'{home}/large')
    for i, p in enumerate(practice_photos(limit=N//4)):
        try: img = open_photo(p['bytes'])
        except PhotoError: continue
        out = io.BytesIO()
        img.resize((SIDE, round(SIDE*img.height/img.width))).save(out, 'JPEG', quality=92)
        ds.add(out.getvalue(), p['label'], source='practice', image_url=str(i))
    return ds

def learners(ds):
    "The same network on both ways of loading"
    from fastai.vision.all import ImageBlock, defaults
    from eyewear.model.backbone import get_backbone
    from eyewear.model.training import get_dls
    import torch
    from fastai.vision.all import CategoryBlock, DataBlock, FuncSplitter, Normalize, RandomResizedCrop, aug_transforms, error_rate, parent_label, vision_learner
    b, split = get_backbone('resnet18'), ds.split()
    files = [f for f in ds.files() if split[f.name] != 'test']
    plain = DataBlock(blocks=(ImageBlock, CategoryBlock), get_items=lambda _: files, splitter=FuncSplitter(lambda f: split[f.name] == 'valid'),
        get_y=parent_label, item_tfms=RandomResizedCrop(224, min_scale=0.5), batch_tfms=[*aug_transforms(), Normalize.from_stats(*b.stats)])
    plain = plain.dataloaders(ds.path, num_workers=defaults.cpus if torch.cuda.is_available() else 0)
    for name, dls in (("fastai's loading", plain), ('ours', get_dls(ds, b))):
        learn = vision_learner(dls, b.arch, pretrained=False, normalize=False, metrics=error_rate, concat_pool=False, lin_ftrs=[])
        yield name, learn.to_fp16() if torch.cuda.is_available() else learn

def timed(f):
    import torch
    start = time.perf_counter()
    f()
    if torch.cuda.is_available(): torch.cuda.synchronize()
    return time.perf_counter()-start

def through(dls):
    for dl in dls:
        for _ in dl: pass

def epoch(learn):
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)

def floor(learn):
    "Seconds of an epoch's steps on tensors that lie on the GPU already"
    import torch
    dev, n = learn.dls.device, [len(o.dataset) for o in learn.dls]
    x, y = torch.randn(64, 3, 224, 224, device=dev), torch.zeros(64, dtype=torch.long, device=dev)
    class Same:
        def __init__(self, k): self.k = k
        def __len__(self): return self.k
        def __iter__(self): return iter([(x, y)]*self.k)
    kept, learn.dls.loaders = learn.dls.loaders, [Same(n[0]//64), Same(-(-n[1]//64))]
    try: return min(timed(lambda: epoch(learn)) for _ in range(3))
    finally: learn.dls.loaders = kept

def main():
    import torch
    with tempfile.TemporaryDirectory() as home:
        os.environ['EYEWEAR_HOME'] = home
        ds, rows, about = photos(home), [], {}
        from eyewear.model.features import PhotoCache
        fill = timed(lambda: PhotoCache(ds).fill(ds.files()))
        for name, learn in learners(ds):
            if not len(learn.dls.train): raise SystemExit(f'PHOTOS_N={N}: fewer than 64 train photos make no batch; take 160 or more')
            epoch(learn) # Warm
            rows.append(dict(loading=name, photos=sum(len(o.dataset) for o in learn.dls), **{'loading alone, s': min(timed(lambda: through(learn.dls)) for _ in range(ROUNDS)),
                'one epoch, s': min(timed(lambda: epoch(learn)) for _ in range(ROUNDS))}))
        if torch.cuda.is_available():
            low = floor(learn)
            about = dict(compute_floor=round(low, 3), times_the_floor=round(rows[1]['one epoch, s']/low, 2), goal='1.5 times the floor', met=rows[1]['one epoch, s'] <= 1.5*low)
        else: print('SKIPPED: the compute floor of a GPU, as there is none')
        gain = {k: round(rows[0][k]/rows[1][k], 2) for k in ('loading alone, s', 'one epoch, s')}
        report('loading' if N == 600 else 'loading_short', rows, side=SIDE, device=str(learn.dls.device), times_as_fast=gain, decoded_once_s=round(fill, 1), **about)

if __name__ == '__main__': main()
