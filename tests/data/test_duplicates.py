"""Near-duplicates: each kind of copy is found, what only looks alike is not, and however many alike there are, it stays within bounds"""
import random
from functools import cache
from io import BytesIO
from pathlib import Path
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from eyewear.data import duplicates
from eyewear.data.dataset import Dataset
from eyewear.data.duplicates import candidates, group_names, hashes, thumb
from eyewear.data.duplicates import max_near, near_duplicates, near_limit, near_pairs
from eyewear.photo import jpeg

@cache
def picture(seed, n=300):
    "Smooth noise with some shapes on it"
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (10, 10, 3), dtype=np.uint8)
    img = Image.fromarray(small).resize((n, n), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(img)
    for _ in range(4):
        x, y, size = rng.integers(20, n-20, 3).tolist()
        r = size//4
        draw.ellipse((x-r, y-r, x+r, y+r), fill=tuple(rng.integers(0, 256, 3).tolist()))
    return img

def saved(img, quality=50):
    "`img`, once through a JPEG"
    return Image.open(BytesIO(jpeg(img.convert('RGB'), quality=quality)))

def swapped(img): return Image.merge('RGB', img.split()[::-1])
def thumbs_of(photos): return [thumb(o) for o in photos]

COPIES = {
    'compressed': lambda o: o,
    'smaller': lambda o: o.resize((110, 110)),
    'cropped 10 % at a corner': lambda o: o.crop((0, 0, 270, 270)),
    'cropped 5 % all around': lambda o: o.crop((8, 8, 292, 292)),
    'cropped on one side': lambda o: o.crop((0, 24, 300, 300)),
    'mirrored': ImageOps.mirror,
    'mirrored and cropped': lambda o: ImageOps.mirror(o).crop((15, 0, 300, 285)),
    'grey': lambda o: o.convert('L'),
    'brighter': lambda o: ImageEnhance.Brightness(o).enhance(1.3),
    'less contrast': lambda o: ImageEnhance.Contrast(o).enhance(.6),
    'gamma': lambda o: o.point([round(255*(i/255)**.7) for i in range(256)]*3),
    'paler': lambda o: ImageEnhance.Color(o).enhance(.4),
    'red and blue swapped': swapped,
    'all at once': lambda o: swapped(ImageOps.mirror(o).crop((0, 10, 280, 290)).resize((150, 150)))}

def numbers(pairs): return {o[:2] for o in pairs}

@pytest.mark.parametrize('kind', COPIES)
def test_copies_of_each_kind_are_found_and_nothing_else(kind):
    originals = [picture(i) for i in range(30)]
    copies = [saved(COPIES[kind](o)) for o in originals]
    assert numbers(near_pairs(thumbs_of(originals+copies))) == {(i, i+30) for i in range(30)}

def test_two_parts_of_one_picture_that_only_overlap_are_found():
    one = picture(1)
    left = one.crop((0, 0, 275, 300))
    right = one.crop((25, 0, 300, 300))
    assert numbers(near_pairs(thumbs_of([left, right, picture(2)]))) == {(0, 1)}

def test_a_higher_limit_shows_what_is_beyond_the_border_and_changes_nothing_else():
    originals = [picture(i) for i in range(20)]
    thumbs = thumbs_of(originals+[saved(ImageOps.mirror(o), 10) for o in originals])
    low = near_pairs(thumbs, limit=3)
    high = near_pairs(thumbs, limit=60)
    assert low == [o for o in high if o[2] < 3] and len(high) > len(low)
    differences = [o[2] for o in high]
    assert differences == sorted(differences)

def test_plain_pictures_are_the_same_only_where_their_colour_is():
    plain = thumbs_of(Image.new('RGB', (20, 20), o) for o in ('white', 'navy', 'white', '#fdfdfd', 'black'))
    found = near_pairs(plain)
    assert numbers(found) == {(0, 2), (0, 3), (2, 3)} and all(np.isfinite(o[2]) for o in found)
    assert near_pairs([plain[0], thumb(picture(1))]) == []

def test_sizes_and_modes_of_photos_do_not_matter():
    one = picture(5)
    odd = [one, one.convert('RGBA'), one.resize((1, 1)), one.resize((300, 2)), one.convert('P')]
    assert numbers(near_pairs(thumbs_of(odd))) >= {(0, 1)}

def test_the_same_every_time_and_whatever_the_order():
    thumbs = thumbs_of(o for i in range(25) for o in (picture(i), saved(COPIES['all at once'](picture(i)))))
    first = near_pairs(thumbs)
    assert near_pairs(thumbs) == first
    order = random.Random(0).sample(range(50), 50)
    shuffled = near_pairs([thumbs[k] for k in order])
    assert {frozenset((order[i], order[j])) for i, j, _ in shuffled} == {frozenset((i, j)) for i, j, _ in first}

def test_thousands_alike_bring_few_candidates_and_little_memory(monkeypatch):
    "3,000 variations of one picture by noise: a few a photo, and blocks of bounded size"
    rng = np.random.default_rng(0)
    one = thumb(picture(7)).astype(np.int16)
    alike = np.stack([np.clip(one+rng.integers(-8, 9, one.shape, dtype=np.int16), 0, 255).astype(np.uint8) for _ in range(3000)])
    sizes = []
    nearest = duplicates._nearest
    def measured(distances, *args):
        sizes.append(distances.nbytes)
        return nearest(distances, *args)
    monkeypatch.setattr(duplicates, '_nearest', measured)
    i, j = candidates(hashes(alike))
    assert len(alike)/2 <= len(i) <= len(alike)*(max_near+1) and (i < j).all()
    assert max(sizes) <= 32*3000   # A byte a pair, for 32 photos at a time
    assert len(set(group_names(range(3000), zip(i.tolist(), j.tolist())).values())) == 1

def test_many_alike_are_all_found_and_one_group():
    rng = np.random.default_rng(0)
    one = thumb(picture(7)).astype(int)
    alike = [np.clip(one+rng.integers(-8, 9, one.shape), 0, 255).astype(np.uint8) for _ in range(60)]
    found = near_pairs(alike)
    i, _ = candidates(hashes(np.stack(alike)))
    assert len(found) == len(i)
    assert len(set(group_names(range(60), numbers(found)).values())) == 1

def test_drawn_portraits_are_told_apart_with_and_without_glasses():
    pytest.importorskip('dicebear')
    from eyewear.data.draw import STYLES, background, person, render
    thumbs = []
    for i in range(24):
        for label in ('none', 'glasses', 'VR'):
            rng = random.Random(f'avatar {i}')
            thumbs.append(thumb(render(background(rng)+person(rng, label, STYLES[i % 4]), 200)))
    assert near_pairs(thumbs) == []

# ---- near-duplicates of a dataset

def photo(seed, size=160):
    "Bytes of a picture"
    return jpeg(picture(seed).resize((size, size)))

@pytest.fixture
def ds(tmp_path): return Dataset.create(tmp_path/'dishes')

def add(ds, data, label): return Path(ds.add(data, label)['file']).name

def test_pictures_drawn_after_one_pattern_are_no_copies(ds, capsys):
    for i in range(12):
        ds.add(photo(0, 150+i), 'cups')       # All of them the same picture
        ds.add(photo(i+1), 'plates')
    twin = add(ds, photo(1, 120), 'plates')   # And one copy among others
    pairs = near_duplicates(ds)
    assert [twin in p for p in pairs] == [True] and 'cups: 12 of 12' in capsys.readouterr().out

def test_features_are_asked_for_the_photos_that_are_compared_each_content_once(ds):
    for i in range(3): ds.add(photo(i), 'cups')
    ds.add(photo(0), 'plates')                # The same bytes
    ds.add(b'<html>', 'plates')
    removed = add(ds, photo(3), 'cups')
    ds.decide(removed, None)
    asked = []
    def features(dataset, files):
        asked.extend(files)
        return np.eye(len(files), dtype=np.float32)
    assert near_duplicates(ds, features) == []
    assert len(asked) == 4 == len({f.read_bytes() for f in asked}) and asked[-1] == ds.find(removed)
    asked.clear()
    assert near_duplicates(ds, lambda dataset, files: asked.extend(files)) == [] and len(asked) == 4 # No extra, no features

def test_features_that_are_alike_make_a_pair_that_the_hash_misses(ds, monkeypatch):
    names = [add(ds, photo(0, size), 'cups') for size in (160, 120)]
    add(ds, photo(1), 'cups')                 # Its features are alike too, but a closer look tells it apart
    monkeypatch.setattr(duplicates, 'near_bits', -1)
    assert near_duplicates(ds) == []
    (a, b, d), = near_duplicates(ds, lambda dataset, files: np.ones((len(files), 1), np.float32))
    assert {a, b} == set(names) and d < near_limit
