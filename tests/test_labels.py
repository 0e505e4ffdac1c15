"The few lines on wrong labels in lesson 04 against cleanlab, the library for it."
import numpy as np
import pytest
pytest.importorskip('fastai')
count, rank = pytest.importorskip('cleanlab.count'), pytest.importorskip('cleanlab.rank')
from pathlib import Path
from eyewear.interpret import confident_joint, estimate_wrong, rank_labels

VOCAB = ['cups', 'plates', 'spoons']

@pytest.fixture(params=range(5))
def answers(request):
    "Made-up answers about 300 things, a tenth of them called by a wrong name"
    rng = np.random.default_rng(request.param)
    right = rng.integers(0, 3, 300)
    y = np.where(rng.random(300) < .1, rng.integers(0, 3, 300), right)
    probs = rng.dirichlet(np.ones(3), 300)+3*np.eye(3)[right]*rng.random((300, 1))
    return y, probs/probs.sum(1, keepdims=True)

def test_confident_joint_is_cleanlabs(answers):
    y, probs = answers
    assert (confident_joint(y, probs) == count.compute_confident_joint(y, probs, calibrate=False)).all()

def test_estimate_is_near_cleanlabs(answers):
    y, probs = answers
    theirs = count.compute_confident_joint(y, probs, calibrate=True)
    ours = estimate_wrong(confident_joint(y, probs), y, VOCAB)
    for i in range(3):
        for j in range(3):
            if i != j: assert abs(ours[f'{VOCAB[i]}, really {VOCAB[j]}']-theirs[i, j]) <= 1   # cleanlab rounds to whole photos
    assert list(ours.values()) == sorted(ours.values(), reverse=True)

def test_ranking_is_cleanlabs_self_confidence(answers):
    y, probs = answers
    files = [Path(VOCAB[k])/f'{i}.jpg' for i, k in enumerate(y)]
    ours = [o['name'] for o in rank_labels(files, probs, VOCAB, share=1)]
    theirs = np.argsort(rank.get_label_quality_scores(y, probs), kind='stable')
    assert ours == [f'{i}.jpg' for i in theirs]

def test_a_label_without_photos():
    joint = confident_joint([0, 0, 2], [[.8, .1, .1], [.1, .1, .8], [.1, .1, .8]])
    assert joint.tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 1]]
    assert estimate_wrong(joint, [0, 0, 2], VOCAB)['cups, really spoons'] == 1
