"The figures of a whole round on 600 drawn portraits stay within the goals: some four minutes on two cores, without the notebooks around it."
import pytest

@pytest.fixture(scope='module')
def figures(tmp_path_factory):
    "Train, rank, review by the key, train again: error rates on valid and test, what the ranking found"
    from eyewear.clean import clean
    from eyewear.data.dataset import Dataset
    from eyewear.interpret import cross_probs, rank_labels
    from eyewear.data.practice import found_wrong, review_by_key
    from eyewear.data.duplicates import likeness, twice_labelled
    from eyewear.model.features import photo_features
    from eyewear.data.practice import make_practice
    from eyewear.model.metrics import error_figures
    from eyewear.train import train
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('EYEWEAR_HOME', str(tmp_path_factory.mktemp('figures')))
        ds = make_practice(Dataset.create(tmp_path_factory.mktemp('practice')))
        clean(ds)
        learn = train(ds, 'tf_efficientnet_lite0', how='cached')
        before = error_figures(learn, ds)
        files, probs = cross_probs(ds, learn)
        ranked = rank_labels(files, probs, learn.dls.vocab, 1, twice_labelled(ds), likeness(photo_features(ds, files)))
        found = found_wrong(ds, files, ranked)
        decided = review_by_key(ds, ranked[:len(ranked)//5])
        after = error_figures(train(ds, 'tf_efficientnet_lite0', how='cached'), ds)
        return dict(before=before, after=after, found=found, decided=len(decided), asked=len(files))

def test_wrong_labels_stand_first(figures): assert figures['found']['13 %'] >= .75 and figures['found']['20 %'] >= .9, figures

def test_only_that_fifth_is_reviewed(figures): assert 0 < figures['decided'] <= figures['asked']/5, figures

def test_error_falls_below_five_per_cent(figures):
    assert figures['before'][0]['error'] > .1, figures
    assert all(o['error'] < .05 for o in figures['after']), figures
