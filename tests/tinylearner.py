"A fastai `Learner` of a few hundred weights on photos of one colour each: trained in a second, for tests and lessons of what comes after training."
from types import SimpleNamespace
import numpy as np
from PIL import Image
from fastai.vision.all import CategoryBlock, CrossEntropyLossFlat, DataBlock, FuncSplitter, ImageBlock, Learner, Normalize
from fastai.vision.all import RandomResizedCrop, create_head, error_rate, parent_label, set_seed
from torch import nn
from eyewear.data.dataset import Dataset
from eyewear.photo import jpeg

STATS = [.5]*3, [.5]*3
TINY = dict(arch='tf_efficientnet_lite0', size=64) # Settings of `train` for photos so small
COLOURS = dict(glasses=(220,60,60), none=(60,60,220), sunglasses=(60,200,60))

def tiny_dataset(path, n=20, colours=COLOURS, counts=None):
    "`n` photos of each colour, or as many as `counts` says for a label, each with noise of its own"
    ds = Dataset.create(path)
    rng = np.random.default_rng(0)
    for label, count in (counts or dict.fromkeys(colours, n)).items():
        (ds.path/label).mkdir(exist_ok=True)
        for _ in range(count):
            photo = np.clip(colours[label]+rng.normal(0, 60, (32,40,3))+rng.normal(0, 40, 3), 0, 255)
            ds.add(jpeg(Image.fromarray(photo.astype(np.uint8)), quality=95), label, source='made up', licence='CC0 1.0')
    return ds

def tiny_dls(ds, size):
    "The train and valid photos of `ds`, as `eyewear.train.get_dls` makes them"
    split = ds.split()
    files = [f for f in ds.files() if split[f.name] != 'test']
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=sorted(ds.labels))),
        get_items=lambda _: files,
        splitter=FuncSplitter(lambda f: split[f.name] == 'valid'),
        get_y=parent_label,
        item_tfms=RandomResizedCrop(size, min_scale=.5),
        batch_tfms=Normalize.from_stats(*STATS))
    return block.dataloaders(ds.path, bs=8, num_workers=0)

def tiny_learner(ds, epochs=3, size=64, **head):
    "A `Learner` as `eyewear.train` makes one; `head` changes the head"
    set_seed(0, reproducible=True)
    dls = tiny_dls(ds, size)
    body = nn.Sequential(nn.Conv2d(3, 16, 8, stride=8), nn.ReLU())
    model = nn.Sequential(body, create_head(16, len(dls.vocab), **{'concat_pool':False, 'lin_ftrs':[], **head}))
    learn = Learner(dls, model, loss_func=CrossEntropyLossFlat(), metrics=error_rate)
    learn.backbone = SimpleNamespace(name='tiny', stats=STATS, early=1)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, 1e-2)
    return learn
