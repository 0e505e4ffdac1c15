"Pixels, activations and features: what is kept is what would be computed, and training sees what the app sees."
import shutil
from pathlib import Path
import pytest, timm, torch
from torch import nn
import eyewear.model.features as features
from eyewear.core import read_record
from eyewear.model.backbone import get_backbone
from eyewear.model.features import fold_batch_norm
from eyewear.photo import open_photo, resize_for_model
from eyewear.model.training import get_dls
from eyewear.train import train
from tinylearner import TINY

pytestmark = pytest.mark.usefixtures('own_home')

# -- Pixels

def test_valid_photos_are_what_the_app_sees(tiny_ds):
    backbone = get_backbone(TINY['arch'])
    dls = get_dls(tiny_ds, backbone, size=64)
    mean, std = (torch.tensor(o).view(3, 1, 1) for o in backbone.stats)
    for x, f in zip(dls.valid.one_batch()[0], dls.valid_ds.items):
        pixels = torch.from_numpy(resize_for_model(open_photo(f), 64).copy()).permute(2, 0, 1)
        assert float((x.as_subclass(torch.Tensor).cpu()-(pixels/255-mean)/std).abs().max()) < 1e-5

def test_photos_are_decoded_once(tiny_ds, monkeypatch):
    shutil.rmtree(tiny_ds.path/'.cache', ignore_errors=True)
    opened = []
    def open_and_note(file, *args):
        opened.append(Path(file).name)
        return open_photo(file, *args)
    monkeypatch.setattr(features, 'open_photo', open_and_note)
    train(tiny_ds, how='fine_tune', epochs=1, **TINY)
    train(tiny_ds, how='cached', epochs=1, **TINY)
    split = read_record()['training']['split']
    assert len(opened) == len(set(opened)) == split['train']+split['valid']

# -- Activations

def test_same_weights_from_the_cache_and_without_it(tiny_ds, trained):
    def train_again():
        train(tiny_ds, how='cached', epochs=2, **TINY)
        return read_record()['training']
    first = trained('cached').facts
    assert train_again() == first and len(first['weights_sha256']) == 64
    kept = sorted((tiny_ds.path/'.cache').glob('views-*/*.npy'))
    assert len(kept) == first['split']['train']+first['split']['valid']
    for f in kept[::2]: f.unlink() # The others must not change what is computed
    assert train_again() == first
    shutil.rmtree(tiny_ds.path/'.cache')
    assert train_again() == first

def norms(module): return [o for o in module.modules() if isinstance(o, nn.BatchNorm2d)]

@pytest.mark.parametrize('arch', ['tf_efficientnet_lite0', 'resnet18', 'test_resnet', 'densenet121', 'test_vit'])
def test_folded_batch_norm_gives_the_same_numbers(arch):
    torch.manual_seed(0)
    body = timm.create_model(arch, num_classes=0).eval()
    for norm in norms(body):
        norm.running_mean.normal_(0, .1)
        norm.running_var.uniform_(.5, 2)
        norm.weight.data.uniform_(.5, 1.5)
        norm.bias.data.normal_(0, .1)
    x = torch.rand(2, 3, 160, 160)
    folded = fold_batch_norm(body, 160)
    before = body(x)
    assert torch.allclose(folded(x), before, atol=1e-3)
    assert torch.equal(body(x), before) # The body itself is as it was
    assert len(norms(folded)) < len(norms(body)) or not norms(body)

def test_layers_that_run_in_another_order_are_left_alone():
    class NormFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.norm = nn.BatchNorm2d(3)
            self.norm.running_mean.fill_(2.)
        def forward(self, x): return self.conv(self.norm(x))
    body = NormFirst().eval()
    assert fold_batch_norm(body, 16) is body
