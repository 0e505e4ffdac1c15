"""Near-duplicates: each kind of copy is found, what only looks alike is not, and however many alike there are, it stays within bounds"""
import random
from io import BytesIO
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
import eyewear.data.duplicates as near
from eyewear.data.duplicates import candidates, hashes, join, most_near, near_limit, near_pairs, thumb

def picture(seed, n=300):
    "Smooth noise with some shapes on it"
    rng = np.random.default_rng(seed)
    img = Image.fromarray(rng.integers(0, 256, (10, 10, 3), dtype=np.uint8)).resize((n, n), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(img)
    for _ in range(4):
        x, y, r = (int(o) for o in rng.integers(20, n-20, 3))
        draw.ellipse((x-r//4, y-r//4, x+r//4, y+r//4), fill=tuple(int(o) for o in rng.integers(0, 256, 3)))
    return img

def saved(img, quality=50):
    out = BytesIO()
    img.convert('RGB').save(out, 'JPEG', quality=quality)
    return Image.open(out)

def swapped(img): return Image.merge('RGB', img.split()[::-1])

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
    found = numbers(near_pairs([thumb(o) for o in originals+copies]))
    assert found == {(i, i+30) for i in range(30)}

def test_two_parts_of_one_picture_that_only_overlap_are_found():
    one = picture(1)
    assert numbers(near_pairs([thumb(one.crop((0, 0, 275, 300))), thumb(one.crop((25, 0, 300, 300))), thumb(picture(2))])) == {(0, 1)}

def test_something_else_in_the_middle_is_another_picture():
    one = picture(3)
    other = one.copy()
    ImageDraw.Draw(other).rectangle((100, 100, 200, 150), fill='black')
    assert near_pairs([thumb(one), thumb(other)]) == []
    (i, j, d), = near_pairs([thumb(one), thumb(other)], limit=1000) or [(0, 1, 1000)]
    assert d > near_limit

def test_a_higher_limit_shows_what_is_beyond_the_border_and_changes_nothing_else():
    originals = [picture(i) for i in range(20)]
    thumbs = [thumb(o) for o in originals+[saved(ImageOps.mirror(o), 10) for o in originals]]
    low, high = near_pairs(thumbs, limit=3), near_pairs(thumbs, limit=60)
    assert low == [o for o in high if o[2] < 3] and len(high) > len(low)
    assert [o[2] for o in high] == sorted(o[2] for o in high)

def test_none_one_and_two_photos():
    one = thumb(picture(1))
    assert near_pairs([]) == [] and near_pairs([one]) == []
    assert near_pairs([one, thumb(picture(2))]) == []
    (i, j, d), = near_pairs([one, one])
    assert (i, j) == (0, 1) and d < 1

def test_plain_pictures_are_the_same_only_where_their_colour_is():
    plain = [thumb(Image.new('RGB', (20, 20), o)) for o in ('white', 'navy', 'white', '#fdfdfd', 'black')]
    found = near_pairs(plain)
    assert numbers(found) == {(0, 2), (0, 3), (2, 3)} and all(np.isfinite(o[2]) for o in found)
    assert near_pairs([thumb(Image.new('RGB', (20, 20), 'white')), thumb(picture(1))]) == []

def test_sizes_and_modes_of_photos_do_not_matter():
    one = picture(5)
    odd = [one, one.convert('RGBA'), one.resize((1, 1)), one.resize((300, 2)), one.convert('P')]
    assert numbers(near_pairs([thumb(o) for o in odd])) >= {(0, 1)}

def test_the_same_every_time_and_whatever_the_order():
    thumbs = [thumb(o) for i in range(25) for o in (picture(i), saved(COPIES['all at once'](picture(i))))]
    first = near_pairs(thumbs)
    assert near_pairs(thumbs) == first
    order = random.Random(0).sample(range(50), 50)
    assert {frozenset(order[k] for k in o[:2]) for o in near_pairs([thumbs[k] for k in order])} == {frozenset(o[:2]) for o in first}

def test_thousands_alike_bring_few_candidates_and_little_memory(monkeypatch):
    "3,000 variations of one picture by noise: a few a photo, blocks of bounded size, and all in one group"
    rng, one, widest = np.random.default_rng(0), thumb(picture(7)).astype(int), []
    alike = [np.clip(one+rng.integers(-8, 9, one.shape), 0, 255).astype(np.uint8) for _ in range(3000)]
    kept = near._nearest
    monkeypatch.setattr(near, '_nearest', lambda far, *a: widest.append(far.nbytes) or kept(far, *a))
    i, j = candidates(hashes(np.stack(alike)))
    assert len(alike)/2 <= len(i) <= len(alike)*(most_near+1) and (i < j).all()
    assert max(widest) <= 32*3000   # A byte a pair, for 32 photos at a time
    found = near_pairs(alike)
    assert len(found) == len(i)
    assert len(set(join(range(3000), numbers(found)).values())) == 1

def test_features_bring_what_the_hash_does_not(monkeypatch):
    "With a hash that finds nothing the candidates come from the cosine alone, and are still looked at"
    originals = [picture(i) for i in range(12)]
    thumbs = [thumb(o) for o in originals+[saved(o) for o in originals]]
    feats = np.tile(np.eye(12, 16, dtype=np.float32), (2, 1))
    monkeypatch.setattr(near, 'near_bits', -1)
    assert near_pairs(thumbs) == []
    assert numbers(near_pairs(thumbs, feats)) == {(i, i+12) for i in range(12)}

def test_drawn_portraits_are_told_apart_with_and_without_glasses():
    pytest.importorskip('dicebear')
    from eyewear.data.draw import STYLES, background, person, render
    thumbs = []
    for i in range(24):
        for label in ('none', 'glasses', 'VR'):
            rng = random.Random(f'avatar {i}')
            thumbs.append(thumb(render(background(rng)+person(rng, label, STYLES[i % 4]), 200)))
    assert near_pairs(thumbs) == []
