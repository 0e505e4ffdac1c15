"The map of all photos: positions from features, and the picture."
import io
import numpy as np, pytest

pytest.importorskip('fastai', reason='needs eyewear[tutorial]')
from eyewear.core import DatasetError
from eyewear.model.explain import label_colours, plot_map, project

LABELS = ['cups', '&lt;img onerror=1&gt;', 'Löffel ☕ $x_1$']

def test_similar_photos_are_close_together():
    rng = np.random.default_rng(0)
    cluster = np.arange(120)%4
    xy = project(rng.normal(size=(4, 200))[cluster]*3+rng.normal(size=(120, 200)))
    distance = ((xy[:, None]-xy)**2).sum(2)+np.eye(120)*9
    assert (cluster[distance.argmin(1)] == cluster).mean() > .95

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
    out = io.BytesIO()
    fig.savefig(out)
    assert len(out.getvalue()) < 60_000

@pytest.mark.parametrize('labels', [['_hidden', '$\\frac{'], ['a']*2, []])
def test_picture_of_any_labels(labels):
    fig = plot_map(np.eye(2)[:len(labels)], labels)
    fig.canvas.draw()
    if labels: assert legend(fig) == [f'{labels.count(o)} {o}' for o in dict.fromkeys(labels)]
    else: assert not fig.legends

def contrast(a, b):
    "Of two colours, as WCAG has it"
    def luminance(colour):
        parts = [int(colour[i:i+2], 16)/255 for i in (1, 3, 5)]
        linear = [v/12.92 if v <= .04045 else ((v+.055)/1.055)**2.4 for v in parts]
        return np.dot([.2126, .7152, .0722], linear)
    dark, light = sorted([luminance(a), luminance(b)])
    return (light+.05)/(dark+.05)

def test_every_colour_can_be_seen_on_white():
    assert all(contrast(o, '#ffffff') > 2 for o in label_colours) # and each mark has an outline
    assert len({*label_colours}) == 8
