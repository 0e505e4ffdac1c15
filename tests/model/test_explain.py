"Heat maps: exact for our head, the same as Grad-CAM's, refused for any other head."
from types import SimpleNamespace
import numpy as np, pytest

pytest.importorskip('fastai', reason='needs eyewear[tutorial]')
import torch
from fastai.vision.all import create_head, nn
from eyewear.model.backbone import lite0
from eyewear.core import EyewearError
from eyewear.model.explain import heat_maps, linear_head

def model(labels=4):
    "The backbone with a head whose statistics are not those of a fresh one"
    torch.manual_seed(1)
    head = create_head(1280, labels, concat_pool=False, lin_ftrs=[])
    bn = next(o for o in head if isinstance(o, nn.BatchNorm1d))
    bn.running_mean.uniform_(0, 1); bn.running_var.uniform_(.5, 2)
    return nn.Sequential(nn.Sequential(*list(lite0())[:-1]), head).eval()

@pytest.fixture(scope='module')
def net(): return model()

@pytest.fixture(scope='module')
def photo():
    rng = torch.Generator().manual_seed(3)
    return nn.functional.interpolate(torch.rand(1, 3, 12, 12, generator=rng)*2-1, 224, mode='bicubic')

def maps(net, photo):
    with torch.no_grad(): return nn.functional.conv2d(net[0](photo), linear_head(net[1])[0][:,:,None,None])[0]

def test_shares_add_up_to_the_answer(net, photo):
    with torch.no_grad(): logits = net(photo)[0]
    assert torch.allclose(maps(net, photo).mean((1,2))+linear_head(net[1])[1], logits, atol=1e-4)

@pytest.mark.parametrize('label', range(4))
def test_grad_cam_sees_the_same(net, photo, label):
    cam = pytest.importorskip('pytorch_grad_cam')
    from pytorch_grad_cam.utils.image import scale_cam_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    with cam.GradCAM(model=net, target_layers=[net[0]]) as grad: theirs = grad(input_tensor=photo.clone().requires_grad_(), targets=[ClassifierOutputTarget(label)])[0]
    share = maps(net, photo)[label]/49                     # Grad-CAM's weight is the mean gradient over 7 x 7 places
    ours = scale_cam_image(scale_cam_image(share.clamp(min=0).numpy()[None], (224,224)))[0]
    assert theirs.max()>.9 and np.abs(ours-theirs).max()<1e-3

def test_other_heads_are_refused():
    for head in (create_head(8, 3), create_head(8, 3, lin_ftrs=[4], concat_pool=False), nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 3)), nn.Sequential(nn.Linear(8, 3))):
        assert linear_head(head) is None
        with pytest.raises(EyewearError, match='no exact heat map'): heat_maps(SimpleNamespace(model=nn.Sequential(nn.Identity(), head)), [])
