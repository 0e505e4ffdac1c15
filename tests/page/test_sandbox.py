"Photos from strangers, opened in a process of their own: what is costly ends in a sentence."
import io, random, subprocess, sys, time
import pytest
from PIL import Image
from eyewear import photo as sandbox
from eyewear.core import PhotoError
from eyewear.photo import stored_side
from eyewear.photo import open_small
from badphotos import BAD, claims, noise, picture

@pytest.fixture
def started(monkeypatch):
    "The processes that were started"
    out, own = [], subprocess.run
    monkeypatch.setattr(sandbox.subprocess, 'run', lambda *a, **kw: out.append(kw) or own(*a, **kw))
    return out

def test_what_a_browser_makes_is_opened_right_here(started):
    img = open_small(picture('JPEG', (1024,768)), 'a.jpg')
    assert img.size == (1024,768) and img.mode == 'RGB' and not started

@pytest.mark.parametrize('kind,size,small', [('PNG', (400,300), (400,300)), ('JPEG', (3000,2000), (1024,683)), ('WEBP', (10,2000), (5,1024))])
def test_anything_else_elsewhere_and_small(started, kind, size, small):
    img = open_small(picture(kind, size, 'teal'), 'a')
    assert len(started) == 1 and img.size == small and max(img.size) <= stored_side
    assert all(abs(a-b) < 9 for a, b in zip(img.getpixel((2,2)), (0,128,128)))

def test_many_cores_take_no_memory_from_a_photo(started):
    open_small(picture('PNG', (40,30)), 'a.png')
    assert started[0]['env']['OPENBLAS_NUM_THREADS'] == '1'          # 64 of them keep 2.6 GB

@pytest.mark.parametrize('name', BAD)
def test_bad_file_is_the_same_sentence_as_ever(name):
    with pytest.raises(PhotoError) as e: open_small(BAD[name], name)
    assert str(e.value).startswith(name+': ') and '\n' not in str(e.value)

@pytest.mark.parametrize('name', ['a\0b.jpg', 'a\nb.jpg', "'; rm -rf .jpg", '-c.jpg', 'Ωμέγα.jpg'])
def test_name_is_a_name_and_nothing_else(name):
    with pytest.raises(PhotoError) as e: open_small(b'no photo', name)
    assert str(e.value).startswith(name)

SLOW = 'import time; time.sleep(60)'
HUNGRY = '''import eyewear.photo as s
def hungry(*args): return bytearray(3*2**30)
s._decode = hungry
s._open_stdin()'''
CRASH = 'import os; os.kill(os.getpid(), 11)'

@pytest.mark.parametrize('code,says', [(SLOW, 'a.png: takes more than 1 seconds to open'), (HUNGRY, 'a.png: takes more memory to open than there is here'),
    (CRASH, 'a.png: cannot be opened here')])
def test_decoder_that_does_not_stop_is_a_sentence(monkeypatch, code, says):
    if code == HUNGRY and sys.platform != 'linux': pytest.skip('only Linux limits memory')
    own = subprocess.run
    monkeypatch.setattr(sandbox, 'max_seconds', 1 if code == SLOW else 15)
    monkeypatch.setattr(sandbox.subprocess, 'run', lambda cmd, **kw: own([sys.executable, '-c', code], **kw))
    start = time.monotonic()
    with pytest.raises(PhotoError) as e: open_small(noise('PNG'), 'a.png')
    assert str(e.value).startswith(says) and time.monotonic()-start < 20

def scans(n):
    "A progressive JPEG of 9 megapixels whose last scan comes `n` times"
    data = picture('JPEG', (3000,3000), progressive=True)
    last = data.rindex(b'\xff\xda')
    return data[:last]+data[last:-2]*n+b'\xff\xd9'

def test_photo_of_many_scans_does_not_take_long(monkeypatch):
    "Each scan goes over all pixels again: a minute in all"
    monkeypatch.setattr(sandbox, 'max_seconds', 4)
    data, start = scans(2000), time.monotonic()
    assert len(data) < 20*2**20
    with pytest.raises(PhotoError, match='^scans.jpg: '): open_small(data, 'scans.jpg')
    assert time.monotonic()-start < 15

def test_photo_that_unpacks_to_gigabytes_is_a_sentence():
    b = io.BytesIO()
    Image.new('1', (60_000,30_000)).save(b, 'TIFF', compression='tiff_lzw')
    for data in (b.getvalue(), claims(60_000, 30_000)):
        with pytest.raises(PhotoError, match='^big: '): open_small(data, 'big')
