"The cleaning, measured against the answer key of the practice portraits; which copy stays, and what goes to a person."
import csv, io
import numpy as np
import pytest
from PIL import Image
pytest.importorskip('dicebear')
from eyewear.clean import clean, exact_duplicates, features_of, find_odd, find_unreadable, suspects, twice_labelled
from eyewear.data.dataset import Dataset
from eyewear.data.duplicates import near_copies, near_duplicates
from eyewear.data.practice import make_practice

@pytest.fixture(params=[0, 1], scope='module')
def practice(request, tmp_path_factory):
    ds = make_practice(Dataset.create(tmp_path_factory.mktemp('practice')), 50, seed=request.param)
    return ds, list(csv.DictReader((ds.path/'answer_key.csv').open()))

def test_all_planted_trouble_of_lesson_02_is_found(practice, monkeypatch, tmp_path):
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path))
    ds, key = practice
    planted = {k: {r['file'] for r in key if r['trouble'] == k} for k in ('unreadable', 'exact_duplicate')}
    assert {f.name for f in find_unreadable(ds)} == planted['unreadable'] and len(planted['unreadable']) == 3
    twins = {frozenset((r['file'], r['of'])) for r in key if r['trouble'] == 'exact_duplicate' and r['file'] != r['of']}
    assert {frozenset(p) for p in exact_duplicates(ds)} == twins and twins
    pairs = near_duplicates(ds, features_of)
    found = {frozenset(p[:2]) for p in pairs}
    near = {frozenset((r['file'], r['of'])) for r in key if r['trouble'] == 'near_duplicate'}
    assert len(found & near) >= .8*len(near) and len(found-near) <= .1*len(found)
    before = ds.counts()
    out = clean(ds, pairs)
    assert out['unreadable'] == 3 and clean(ds, pairs) == out   # The second time nothing is done, and it says the same
    assert out['near_copies'] > 0 and len(twice_labelled(ds)) == len(twins)
    assert sum(before.values())-sum(ds.counts().values()) == 3+len(twins)+out['near_copies']
    assert near_copies(ds, pairs) == []
    part = ds.split()
    assert all(part[a] == part[b] for a, b in map(tuple, found) if a in part and b in part)
    ds.undo(by='rule')
    assert ds.counts() == before

def test_the_odd_ones_are_put_before_a_person(practice):
    ds, key = practice
    trouble, part = {r['file']: r['trouble'] for r in key}, ds.split()
    odd = find_odd(ds)
    junk = {n for n, p in part.items() if p != 'test' and trouble.get(n) in ('no_portrait', 'two_people')}
    assert len(junk & set(odd)) >= len(junk)/2 and len(odd) <= .06*len(part)
    queue = suspects(ds, [])
    assert {o['name'] for o in queue} >= set(odd) and all(o['part'] in ('train', 'valid') for o in queue)
    assert all(set(o['like']) <= set(ds.labels) and all(len(v) <= 3 for v in o['like'].values()) for o in queue)
    assert all(o['name'] not in names for o in queue for names in o['like'].values())

def photo(seed, size=160):
    "Bytes of a made-up picture"
    small = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(small).resize((240, 240), Image.Resampling.BICUBIC).resize((size, size)).save(out, 'JPEG')
    return out.getvalue()

def test_the_largest_copy_stays_and_labels_are_not_decided_by_a_rule(tmp_path):
    ds = Dataset.create(tmp_path/'dishes')
    for i in range(3): ds.add(photo(i), 'cups')
    small = ds.add(photo(0, 100), 'cups')['file'].split('/')[1]
    large = ds.add(photo(0, 240), 'cups')['file'].split('/')[1]
    other = ds.add(photo(1, 240), 'plates')['file'].split('/')[1]
    pairs = near_duplicates(ds, features_of)
    assert {kept for kept, _ in near_copies(ds, pairs)} == {large} and small in {o for _, o in near_copies(ds, pairs)}
    assert len(near_copies(ds, pairs)) == 2 and other not in str(near_copies(ds, pairs))
    ds.split = lambda: {f.name: 'train' for f in ds.files()}
    said = {o['name']: o['why'] for o in suspects(ds, pairs)}
    assert said[other] == 'a copy of it is called cups'

def test_pictures_drawn_after_one_pattern_are_no_copies(tmp_path, capsys):
    ds = Dataset.create(tmp_path/'dishes')
    for i in range(12): ds.add(photo(0, 150+i), 'cups')           # All of them the same picture
    for i in range(12): ds.add(photo(i+1), 'plates')
    twin = ds.add(photo(1, 120), 'plates')['file'].split('/')[1]  # And one copy among others
    pairs = near_duplicates(ds, features_of)
    assert [twin in p for p in pairs] == [True] and 'cups: 12 of 12' in capsys.readouterr().out
