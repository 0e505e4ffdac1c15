"The cleaning, measured against the answer key of the practice portraits; what goes to a person."
import csv
from pathlib import Path
import pytest
pytest.importorskip('dicebear')
from eyewear.clean import clean, features_of, find_unreadable
from eyewear.data.dataset import Dataset
from eyewear.data.duplicates import exact_duplicates, find_odd, near_copies, near_duplicates, suspects, twice_labelled
from eyewear.data.practice import make_practice, portrait
from eyewear.photo import jpeg

@pytest.fixture(params=[0, 1], scope='module')
def practice(request, tmp_path_factory):
    "Practice portraits and their answer key"
    ds = make_practice(Dataset.create(tmp_path_factory.mktemp('practice')), 50, seed=request.param)
    with (ds.path/'answer_key.csv').open() as f: return ds, list(csv.DictReader(f))

def test_all_planted_trouble_of_lesson_02_is_found(practice, monkeypatch, tmp_path):
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path))
    ds, key = practice
    def planted(trouble): return [r for r in key if r['trouble'] == trouble]
    unreadable = {r['file'] for r in planted('unreadable')}
    assert {f.name for f in find_unreadable(ds)} == unreadable and len(unreadable) == 3
    twins = {frozenset((r['file'], r['of'])) for r in planted('exact_duplicate') if r['file'] != r['of']}
    assert twins and {frozenset(p) for p in exact_duplicates(ds)} == twins
    pairs = near_duplicates(ds, features_of)
    found = {frozenset(p[:2]) for p in pairs}
    near = {frozenset((r['file'], r['of'])) for r in planted('near_duplicate')}
    assert len(found & near) >= .8*len(near) and len(found-near) <= .1*len(found)
    before = ds.counts()
    out = clean(ds, pairs)
    assert clean(ds, pairs) == out   # The second time nothing is done, and it says the same
    assert out['unreadable'] == 3 and out['near_copies'] > 0 and len(twice_labelled(ds)) == len(twins)
    assert sum(before.values())-sum(ds.counts().values()) == 3+len(twins)+out['near_copies']
    assert near_copies(ds, pairs) == []
    part = ds.split()
    for a, b in map(tuple, found):
        if a in part and b in part: assert part[a] == part[b]
    ds.undo(by='rule')
    assert ds.counts() == before

def test_the_odd_ones_are_put_before_a_person(practice):
    ds, key = practice
    trouble = {r['file']: r['trouble'] for r in key}
    part = ds.split()
    odd = find_odd(ds, features_of)
    junk = {o for o in part if part[o] != 'test' and trouble.get(o) in ('no_portrait', 'two_people')}
    assert len(junk & set(odd)) >= len(junk)/2 and len(odd) <= .06*len(part)
    queue = suspects(ds, features_of, [])
    assert {o['name'] for o in queue} >= set(odd)
    for o in queue:
        assert o['part'] in ('train', 'valid') and set(o['like']) <= set(ds.labels)
        for names in o['like'].values(): assert len(names) <= 3 and o['name'] not in names

def test_a_copy_under_another_label_goes_to_a_person(tmp_path):
    ds = Dataset.create(tmp_path/'dishes')
    for i in range(3): ds.add(jpeg(portrait('glasses', i)), 'cups')
    copy = jpeg(portrait('glasses', 1), side=240)
    other = Path(ds.add(copy, 'plates')['file']).name
    ds.split = lambda: {f.name: 'train' for f in ds.files()}
    reasons = {o['name']: o['why'] for o in suspects(ds, features_of, near_duplicates(ds, features_of))}
    assert reasons[other] == 'a copy of it is called cups'
