"Heat maps: exact for our head, the same as Grad-CAM's, refused for any other head. The map of all photos: positions and picture."
from types import SimpleNamespace
import numpy as np, pytest

pytest.importorskip('fastai', reason='needs eyewear[tutorial]')
import torch
from fastai.vision.all import create_head, nn
from matplotlib.colors import to_rgb
from eyewear.core import DatasetError, EyewearError
from eyewear.model.backbone import lite0
from eyewear.model.explain import heat_maps, label_colours, linear_head, plot_map, project

@pytest.fixture(scope='module')
def net():
    "The backbone with a head whose statistics are not those of a fresh one"
    torch.manual_seed(1)
    head = create_head(1280, 4, concat_pool=False, lin_ftrs=[])
    bn = next(o for o in head if isinstance(o, nn.BatchNorm1d))
    bn.running_mean.uniform_(0, 1)
    bn.running_var.uniform_(.5, 2)
    return nn.Sequential(nn.Sequential(*list(lite0())[:-1]), head).eval()

@pytest.fixture(scope='module')
def photo():
    rng = torch.Generator().manual_seed(3)
    return nn.functional.interpolate(torch.rand(1, 3, 12, 12, generator=rng)*2-1, 224, mode='bicubic')

# -- Heat maps

@torch.no_grad()
def maps(net, photo):
    w = linear_head(net[1])[0]
    return nn.functional.conv2d(net[0](photo), w[:,:,None,None])[0]

@pytest.mark.parametrize('label', range(4))
def test_grad_cam_sees_the_same(net, photo, label):
    cam = pytest.importorskip('pytorch_grad_cam')
    from pytorch_grad_cam.utils.image import scale_cam_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    with cam.GradCAM(model=net, target_layers=[net[0]]) as grad:
        theirs = grad(input_tensor=photo.clone().requires_grad_(), targets=[ClassifierOutputTarget(label)])[0]
    share = maps(net, photo)[label]/49                     # Grad-CAM's weight is the mean gradient over 7 x 7 places
    ours = scale_cam_image(scale_cam_image(share.clamp(min=0).numpy()[None], (224,224)))[0]
    assert theirs.max() > .9
    assert np.abs(ours-theirs).max() < 1e-3

@pytest.mark.parametrize('head', [dict(), dict(first_bn=False), dict(lin_first=True)])
def test_linear_heads(head):
    h = create_head(6, 3, concat_pool=False, lin_ftrs=[], **head)
    for bn in h.modules():
        if not isinstance(bn, nn.BatchNorm1d): continue
        bn.running_mean.normal_()
        bn.running_var.uniform_(.5, 2)
        bn.weight.data.uniform_(.5, 2)
        bn.bias.data.normal_()
    w, b = linear_head(h.eval())
    feats = torch.randn(4, 6, 5, 5)
    with torch.no_grad(): assert torch.allclose(feats.mean((2,3))@w.T+b, h(feats), atol=1e-5)

MAX_POOL = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 3))
OTHER_HEADS = dict(concat_pool=create_head(8, 3), two_layers=create_head(8, 3, lin_ftrs=[4], concat_pool=False), max_pool=MAX_POOL,
    no_pool=nn.Sequential(nn.Linear(8, 3)), batch_norm_last=create_head(8, 3, concat_pool=False, lin_ftrs=[], bn_final=True))

@pytest.mark.parametrize('name', OTHER_HEADS)
def test_other_heads_are_refused(name):
    head = OTHER_HEADS[name]
    assert linear_head(head) is None
    with pytest.raises(EyewearError, match='no exact heat map'):
        heat_maps(SimpleNamespace(model=nn.Sequential(nn.Identity(), head)), [])

# -- The map of all photos

LABELS = ['cups', '&lt;img onerror=1&gt;', 'Löffel ☕ $x_1$']

@pytest.mark.parametrize('n,d', [(0, 5), (1, 5), (2, 5), (3, 5), (9, 5), (10, 5), (11, 1), (12, 2), (60, 3)])
def test_few_photos_and_few_features(n, d):
    xy = project(np.random.default_rng(0).normal(size=(n, d)))
    assert xy.shape == (n, 2)
    assert np.isfinite(xy).all() and (n == 0 or 0 <= xy.min() <= xy.max() <= 1)

@pytest.mark.filterwarnings('error')
def test_photos_that_are_all_the_same_are_in_the_middle():
    assert (project(np.ones((30, 8))) == .5).all()

@pytest.mark.parametrize('feats,word', [(np.full((3, 4), np.nan), '3 of 3'), (np.zeros(5), r'\(5,\)')])
def test_what_is_no_feature_is_an_error(feats, word):
    with pytest.raises(DatasetError, match=word): project(feats)

def legend(fig): return [o.get_text() for o in fig.legends[0].get_texts()]

def test_picture_of_the_map():
    xy = np.array([(i%6, i//6) for i in range(24)])
    doubtful = [i in (3, 4, 20) for i in range(24)]
    fig = plot_map(xy, np.repeat(LABELS, 8), doubtful, LABELS, title='Which of these?')
    assert legend(fig) == [*(f'8 {o}' for o in LABELS), '3 worth a look']
    assert fig.get_suptitle() == 'Which of these?'
    *marks, ring = fig.axes[0].lines
    assert ring.get_xydata().tolist() == xy[doubtful].tolist()
    assert [o.get_color() for o in marks] == label_colours[:3] and len({o.get_marker() for o in marks}) == 3

@pytest.mark.parametrize('labels', [['_hidden', '$\\frac{'], ['a']*2, []])
def test_picture_of_any_labels(labels):
    fig = plot_map(np.eye(2)[:len(labels)], labels)
    fig.canvas.draw()
    if labels: assert legend(fig) == [f'{labels.count(o)} {o}' for o in dict.fromkeys(labels)]
    else: assert not fig.legends

def luminance(colour):
    "Of a colour, as WCAG has it"
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= .04045, rgb/12.92, ((rgb+.055)/1.055)**2.4)
    return linear@[.2126, .7152, .0722]

def test_every_colour_can_be_seen_on_white():
    assert all(1.05/(luminance(o)+.05) > 2 for o in label_colours) # and each mark has an outline
    assert len({*label_colours}) == 8
