"Backbones: any that timm knows, weights that cannot be fetched, and a GPU that this torch can use."
import pytest, timm, torch
import eyewear.model.backbone as bb
from eyewear.core import EyewearError
from eyewear.model.training import choose_backbone
from eyewear.train import train
from tinylearner import TINY

pytestmark = pytest.mark.usefixtures('own_home')

# -- Ways and backbones

@pytest.fixture
def untrained(monkeypatch):
    "timm without its weights, which are on a server"
    create = timm.create_model
    def without_weights(name, pretrained=False, **kwargs): return create(name, pretrained=False, **kwargs)
    monkeypatch.setattr(timm, 'create_model', without_weights)

@pytest.mark.parametrize('arch,how', [('test_convnext', 'fine_tune'), ('test_vit', 'head'), ('test_resnet', 'head')])
def test_any_name_of_timm(tiny_ds, untrained, arch, how):
    learn = train(tiny_ds, arch, 1, how)
    head = [type(o).__name__ for o in learn.model[1].modules() if not list(o.children())]
    assert head == ['AdaptiveAvgPool2d', 'Flatten', 'BatchNorm1d', 'Dropout', 'Linear']
    assert learn.backbone.name == arch and learn.model[0](learn.dls.one_batch()[0]).ndim == 4

@pytest.mark.parametrize('options,message', [
    (dict(arch='test_resnet', how='cached'), 'cannot be cut; use how=fine_tune'),
    (dict(how='quick'), 'how=quick')])
def test_what_does_not_go_together_is_refused(tiny_ds, untrained, options, message):
    with pytest.raises(EyewearError, match=message): train(tiny_ds, **options)

@pytest.mark.parametrize('arch', ['resnet18', 'test_resnet'])
def test_weights_that_cannot_be_fetched(tiny_ds, monkeypatch, arch):
    create = timm.create_model
    def unreachable(*args, **kwargs): raise OSError('Network is unreachable')
    def only_without_weights(name, pretrained=False, **kwargs):
        if pretrained: unreachable()
        return create(name, pretrained=False, **kwargs)
    monkeypatch.setattr(torch.hub, 'load_state_dict_from_url', unreachable)
    monkeypatch.setattr('torchvision.models._api.load_state_dict_from_url', unreachable)
    monkeypatch.setattr(timm, 'create_model', only_without_weights)
    with pytest.raises(EyewearError, match=f'{arch}: its weights cannot be fetched'): train(tiny_ds, arch, how='fine_tune')

# -- A GPU that this torch can use

@pytest.fixture
def card(monkeypatch):
    "`card(capability, built)`: a machine with such a GPU, and a torch built for such ones; a list of what fastai is told"
    told = []
    def make(capability, built, available=True):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: available)
        monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda *a: capability)
        monkeypatch.setattr(torch.cuda, 'get_arch_list', lambda: built.split())
        bb.has_gpu.cache_clear()
        return told
    monkeypatch.setattr(bb, 'default_device', told.append)
    yield make
    bb.has_gpu.cache_clear()

NEW = 'sm_75 sm_80 sm_86 sm_90a sm_100 sm_120'

@pytest.mark.parametrize('capability,built', [
    ((7, 5), NEW), ((8, 6), NEW), ((8, 9), NEW), ((12, 1), NEW), ((13, 0), NEW+' compute_120')])
def test_gpu_that_torch_was_built_for(card, capsys, capability, built):
    assert not card(capability, built) and bb.has_gpu() and not capsys.readouterr().out

@pytest.mark.parametrize('capability,built', [((6, 1), NEW), ((7, 0), NEW), ((5, 2), NEW+' compute_120'), ((13, 0), NEW)])
def test_gpu_that_torch_was_not_built_for(card, capsys, capability, built):
    told = card(capability, built)
    assert not bb.has_gpu() and not bb.has_gpu() and told == [False] # fastai goes on without it, too
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and '{}.{}'.format(*capability) in lines[0] and 'CUDA_VISIBLE_DEVICES=' in lines[0]

def test_no_gpu_is_not_worth_a_word(card, capsys):
    card((6, 1), NEW, available=False)
    assert not bb.has_gpu() and not capsys.readouterr().out

@pytest.mark.parametrize('capability,how', [((6, 1), 'cached'), ((8, 0), 'fine_tune')])
def test_auto_goes_by_the_gpu_that_can_be_used(card, capability, how):
    card(capability, NEW)
    assert choose_backbone(TINY['arch'], 'auto', None)[1] == how
