"The few lines on wrong labels in lesson 04 against cleanlab, the library for it."
from pathlib import Path
import numpy as np
import pytest
pytest.importorskip('fastai')
count = pytest.importorskip('cleanlab.count')
rank = pytest.importorskip('cleanlab.rank')
from eyewear.interpret import confident_joint, rank_labels
from eyewear.model.metrics import estimate_wrong

VOCAB = ['cups', 'plates', 'spoons']

@pytest.fixture(params=range(5))
def answers(request):
    "Made-up answers about 300 things, a tenth of them called by a wrong name"
    rng = np.random.default_rng(request.param)
    right = rng.integers(0, 3, 300)
    labels = np.where(rng.random(300) < .1, rng.integers(0, 3, 300), right)
    probs = rng.dirichlet(np.ones(3), 300)
    probs += 3*np.eye(3)[right]*rng.random((300, 1))
    return labels, probs/probs.sum(1, keepdims=True)

def test_confident_joint_is_cleanlabs(answers):
    theirs = count.compute_confident_joint(*answers, calibrate=False)
    assert (confident_joint(*answers) == theirs).all()

def test_estimate_is_near_cleanlabs(answers):
    labels, probs = answers
    theirs = count.compute_confident_joint(labels, probs, calibrate=True)
    ours = estimate_wrong(confident_joint(labels, probs), labels, VOCAB)
    for i, label in enumerate(VOCAB):
        for j, really in enumerate(VOCAB):
            if i != j: assert abs(ours[f'{label}, really {really}']-theirs[i, j]) <= 1   # cleanlab rounds to whole photos
    assert list(ours.values()) == sorted(ours.values(), reverse=True)

def test_ranking_is_cleanlabs_self_confidence(answers):
    labels, probs = answers
    files = [Path(VOCAB[k])/f'{i}.jpg' for i, k in enumerate(labels)]
    ours = [o['name'] for o in rank_labels(files, probs, VOCAB, share=1)]
    theirs = np.argsort(rank.get_label_quality_scores(labels, probs), kind='stable')
    assert ours == [f'{i}.jpg' for i in theirs]

def test_a_label_without_photos():
    joint = confident_joint([0, 0, 2], [[.8, .1, .1], [.1, .1, .8], [.1, .1, .8]])
    assert joint.tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 1]]
    assert estimate_wrong(joint, [0, 0, 2], VOCAB)['cups, really spoons'] == 1
