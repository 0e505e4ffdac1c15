"Temperature, calibration error and `unknown`: against sums done by hand, on hostile input, and through a file."
import numpy as np
import pytest
pytest.importorskip('fastai', reason='the light environment has no fastai')
import matplotlib; matplotlib.use('Agg')
import matplotlib.pyplot as plt
import torch
from scipy.special import log_softmax, softmax
from sklearn.metrics import roc_auc_score
from eyewear.model import metrics
from eyewear.model.metrics import calibrate, ece, fit_temperature, keep_seen, load_calibration, most_seen, outputs
from eyewear.model.metrics import plot_reliability, reliability, save_calibration, unlike
from tinylearner import tiny_dataset, tiny_learner

@pytest.fixture(autouse=True)
def run(tmp_path, monkeypatch): monkeypatch.setenv('EYEWEAR_RUN', str(tmp_path/'run'))

@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    "60 made-up photos and a small model of them"
    ds = tiny_dataset(tmp_path_factory.mktemp('toy')/'ds')
    return ds, tiny_learner(ds)

@pytest.fixture
def c(toy, run):
    "The calibration of that model, made anew for each test"
    ds, learn = toy
    return calibrate(learn, ds)

def drawn(scale, n=3000, labels=4, seed=0):
    "Logits that are `scale` times too large, and labels drawn from what they should be"
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 2, (n, labels))
    return scale*true, np.array([rng.choice(labels, p=p) for p in softmax(true, 1)])

# -- Temperature

@pytest.mark.parametrize('scale', [1, 2, 3])
def test_temperature_is_what_the_logits_were_multiplied_by(scale):
    logits, y = drawn(scale)
    assert fit_temperature(logits, y) == pytest.approx(scale, rel=.08)

def test_temperature_is_the_best_there_is():
    logits, y = drawn(2, 300)
    def loss(t): return np.log(t)**2/2-log_softmax(logits/t, axis=1)[np.arange(len(y)), y].sum()
    t = fit_temperature(logits, y)
    assert all(loss(t) <= loss(t*k)+1e-6 for k in (.9, .98, 1.02, 1.1))

@pytest.mark.parametrize('logits,y,low,high', [
    (np.zeros((9,4)), [0]*9, .999, 1.001),
    (np.eye(4)*1e4, [0,1,2,3], 1, 1),
    (np.array([[900.,-900]]), [1], 1.01, 10)])
def test_temperature_stays_sane(logits, y, low, high): assert low <= fit_temperature(logits, np.array(y)) <= high

@pytest.mark.parametrize('wrong', [0, 1, 2])
def test_temperature_never_makes_a_model_surer(wrong):
    "119 of 120 right with some certainty: the best temperature is far below 1"
    y = np.arange(120)%4
    logits = 2*np.eye(4)[y]
    y[:wrong] = (y[:wrong]+1)%4
    assert fit_temperature(logits, y) == 1

def test_scaling_lowers_the_error_and_keeps_the_answer():
    t = fit_temperature(*drawn(3))
    new, y = drawn(3, seed=1)
    assert ece(softmax(new, 1), y) > .15
    assert ece(softmax(new/t, 1), y) < .03
    assert (np.argmax(new, 1) == np.argmax(new/t, 1)).all()

# -- Calibration error

def test_error_by_hand_and_of_no_photos():
    probs = np.array([[.9,.1],[.9,.1],[.6,.4],[.3,.7]])
    y = [0, 1, 0, 1]                                        # bins: .9 right half the time, .6 and .7 always
    assert ece(probs, y, bins=10) == pytest.approx((2*abs(.9-.5)+.4+.3)/4)
    assert [o['n'] for o in reliability(probs, y)] == [1, 1, 2]
    assert sum(o['n'] for o in reliability(np.array([[1., 0], [0., 1]]), [0, 1])) == 2       # 1.0 falls into the last bin
    assert reliability(np.zeros((0,4)), []) == []
    assert np.isnan(ece(np.zeros((0,4)), []))

@pytest.mark.parametrize('n', [0, 1, 200])
def test_picture_says_both_errors(n):
    logits, y = drawn(3, 200)
    ax = plt.subplots()[1]
    plot_reliability(logits[:n], y[:n], 3., ax)
    plt.close()
    before, after = (o.get_text() for o in ax.get_legend().get_texts())
    assert f'({n} photos' in ax.get_title()
    assert [o.split(':')[0] for o in (before, after)] == ['before', 'after']
    if n == 200: assert float(before.split()[-1]) > float(after.split()[-1])

# -- Unknown

def test_unlike_is_one_minus_the_cosine_to_the_fifth():
    rng = np.random.default_rng(0)
    train = rng.normal(size=(50,16))
    new = rng.normal(size=(7,16))
    cos = (new@train.T)/np.linalg.norm(new, axis=1)[:,None]/np.linalg.norm(train, axis=1)
    assert unlike(new, keep_seen(train)) == pytest.approx(1-np.sort(cos, axis=1)[:,-5], abs=1e-5)
    assert unlike(new, keep_seen(train[:3])) == pytest.approx(1-np.sort(cos[:,:3], axis=1)[:,0], abs=1e-5)   # of three, the third

def test_features_of_nothing_but_zeros_are_unlike_all(): assert unlike(np.zeros((2,4)), keep_seen(np.eye(4))).tolist() == [1, 1]

def test_no_more_is_kept_than_needed_and_from_all_over():
    feats = np.random.default_rng(0).normal(size=(3*most_seen+7,4))
    seen = keep_seen(feats)
    assert len(seen) == most_seen
    assert seen[-1] == pytest.approx(feats[-1]/np.linalg.norm(feats[-1]), abs=1e-6)
    assert keep_seen(feats[:0]).shape == (0,4)

def test_a_few_strangers_among_the_train_photos_vouch_for_nobody():
    rng = np.random.default_rng(0)
    def photos(kind, n): return np.eye(64)[kind]*6+rng.normal(size=(n,64))
    seen = keep_seen(np.concatenate([photos(0, 100), photos(1, 4)]))
    score = unlike(np.concatenate([photos(0, 50), photos(1, 50)]), seen)
    assert roc_auc_score([0]*50+[1]*50, score) > .99

# -- All of it, on a small model

def test_head_makes_the_logits_of_the_features(toy):
    ds, learn = toy
    logits, feats = outputs(learn, ds.files())
    pooled = torch.tensor(feats).to(learn.dls.device)[:,:,None,None]
    with torch.no_grad(): again = learn.model[1].eval()(pooled).cpu()
    assert again.numpy() == pytest.approx(logits, abs=1e-4)
    assert logits.dtype == feats.dtype == np.float32
    assert not learn.model[0]._forward_hooks

def test_95_per_cent_of_the_valid_photos_are_seen(toy, c):
    ds, learn = toy
    split = ds.split()
    valid = [f for f in ds.files() if split[f.name] == 'valid']
    score = unlike(outputs(learn, valid)[1], c.seen)
    assert np.mean(score <= c.threshold+1e-6) >= .95
    assert c.threshold in [pytest.approx(o) for o in score]
    assert (c.n, len(c.seen)) == (len(valid), sum(o == 'train' for o in split.values()))

def test_what_is_known_is_not_asked_again(toy, c, monkeypatch):
    ds, learn = toy
    known = ds.files(), *outputs(learn, ds.files())
    monkeypatch.setattr(metrics, 'outputs', lambda *_: pytest.fail('asked again'))
    again = calibrate(learn, ds, known)
    assert again.temperature == pytest.approx(c.temperature)
    assert again.seen == pytest.approx(c.seen)

def test_no_valid_photos_is_said(toy, monkeypatch, capsys):
    ds, learn = toy
    monkeypatch.setattr(type(ds), 'split', lambda self: {f.name: 'train' for f in self.files()})
    c = calibrate(learn, ds)
    assert (c.temperature, c.threshold, c.ece_before, c.n) == (1, None, None, 0)
    assert capsys.readouterr().out.count('\n') == 1
    save_calibration(c)
    again = load_calibration(learn, ds)
    assert (again.threshold, again.ece_before, again.n, len(again.seen)) == (None, None, 0, 60)

def test_calibration_of_an_earlier_version_is_made_anew(toy, c):
    c.temperature = .58
    save_calibration(c)
    assert load_calibration(toy[1], toy[0]) is None

@pytest.mark.parametrize('data', [b'', b'no npz', b'PK\x03\x04 cut', None])
def test_damaged_file_is_as_none(toy, c, data):
    assert load_calibration(toy[1], toy[0]) is None
    path = save_calibration(c)
    path.write_bytes(path.read_bytes()[:200] if data is None else data)
    assert load_calibration(toy[1], toy[0]) is None
