"""The cleaning, measured against the answer key of the practice portraits; for tests/ if wanted"""
import csv
import pytest
pytest.importorskip('dicebear')
from eyewear.clean import clean, exact_duplicates, find_unreadable, near_duplicates, twice_labelled
from eyewear.dataset import Dataset
from eyewear.practice import make_practice

@pytest.fixture(params=[0, 1], scope='module')
def practice(request, tmp_path_factory):
    ds = make_practice(Dataset(tmp_path_factory.mktemp('practice')), 50, seed=request.param)
    return ds, list(csv.DictReader((ds.path/'answer_key.csv').open()))

def test_all_planted_trouble_of_lesson_02_is_found(practice, monkeypatch, tmp_path):
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path))
    ds, key = practice
    planted = {k: {r['file'] for r in key if r['trouble'] == k} for k in ('unreadable', 'exact_duplicate')}
    assert {f.name for f in find_unreadable(ds)} == planted['unreadable'] and len(planted['unreadable']) == 3
    twins = {frozenset((r['file'], r['of'])) for r in key if r['trouble'] == 'exact_duplicate' and r['file'] != r['of']}
    assert {frozenset(p) for p in exact_duplicates(ds)} == twins and twins
    pairs = near_duplicates(ds)
    found = {frozenset(p[:2]) for p in pairs}
    near = {frozenset((r['file'], r['of'])) for r in key if r['trouble'] == 'near_duplicate'}
    assert len(found & near) >= .8*len(near) and len(found-near) <= .1*len(found)
    before = ds.counts()
    assert clean(ds, pairs)['unreadable'] == 3 and clean(ds, pairs)['unreadable'] == 3   # The second time nothing is done, and it says the same
    assert sum(before.values())-sum(ds.counts().values()) == 3+len(twins) and len(twice_labelled(ds)) == len(twins)
    part = ds.split()
    assert all(part[a] == part[b] for a, b in map(tuple, found) if a in part and b in part)
    ds.undo(by='rule')
    assert ds.counts() == before
