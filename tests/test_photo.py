"`open_photo` against files of every kind: an RGB picture or a `PhotoError`, soon and in little memory."
import gc, io, os, random, struct, subprocess, sys, threading, time, warnings
import numpy as np
import pytest
from PIL import Image, ImageCms
from badphotos import BAD, MORE_BAD, chunk, gif, noise, picture, png, tags
from eyewear.core import PhotoError
from eyewear.photo import open_photo

pytestmark = pytest.mark.filterwarnings('ignore::UserWarning')
CUTTABLE = {kind: noise(kind) for kind in ('JPEG', 'PNG', 'WEBP', 'GIF', 'TIFF', 'BMP', 'AVIF', 'JPEG2000', 'ICO', 'PPM')}
CUTTABLE['progressive'] = noise('JPEG', progressive=True)
CUTTABLE['lzw'] = noise('TIFF', compression='tiff_lzw')
CUTTABLE['16bit'] = png(9, 9, 16, 2, pixels=b''.join(b'\0'+random.Random(i).randbytes(54) for i in range(9)))

def opens(data, name='x.jpg'):
    "The picture, or None where `open_photo` says no in one line that begins with the name"
    try: img = open_photo(data, name)
    except PhotoError as e:
        assert str(e).startswith(f'{name}: ') and len(str(e).splitlines()) == 1 and len(str(e)) < 250
        return None
    assert img.mode == 'RGB' and img.tobytes()
    return img

@pytest.mark.parametrize('name', [*BAD, *MORE_BAD])
def test_what_is_no_photo(name):
    t = time.perf_counter()
    assert opens({**BAD, **MORE_BAD}[name], name) is None
    assert time.perf_counter()-t < 10

@pytest.mark.parametrize('kind', CUTTABLE)
def test_cut_off_anywhere(kind):
    whole = CUTTABLE[kind]
    assert opens(whole)
    cuts = sorted({*range(0, min(len(whole), 80)), *range(0, len(whole), max(1, len(whole)//60))})
    came = sum(opens(whole[:n]) is not None for n in cuts if n < .9*len(whole))
    assert came == 0 if kind != 'progressive' else came < len(cuts)   # The end may be padding; a photo missing a tenth is none

@pytest.mark.parametrize('kind', CUTTABLE)
def test_flipped_bits(kind):
    rng, whole = random.Random(kind), CUTTABLE[kind]
    for _ in range(60):
        bad = bytearray(whole)
        for _ in range(rng.choice([1, 1, 4, 30])):
            at = rng.randrange(rng.choice([64, len(bad)]))
            bad[at % len(bad)] ^= 1 << rng.randrange(8)
        opens(bytes(bad))

def test_random_bytes():
    rng = random.Random(0)
    heads = [b'', b'\xff\xd8\xff\xe0', b'\x89PNG\r\n\x1a\n', b'GIF89a', b'RIFF\0\1\0\0WEBPVP8 ', b'II*\0', b'MM\0*', b'BM', b'\0\0\0\x20ftypavif', b'\0\0\0\x20ftypheic',
             b'\0\0\0\x0cjP  \r\n\x87\n', b'\0\0\1\0', b'P6 ', b'II+\0']
    for head in heads:
        for n in (1, 10, 100, 1000, 5000): assert opens(head+rng.randbytes(n)) is None

def test_the_error_says_what_came():
    whole = noise('JPEG')
    with pytest.raises(PhotoError, match=r'a\.jpg: a truncated JPEG \(only 1,500 bytes came\)'): open_photo(whole[:1500], 'a.jpg')

# ---- kinds that are put right

def colour(img): return tuple(int(o) for o in np.asarray(img).reshape(-1, 3).mean(0).round())

@pytest.mark.parametrize('mode, kind, kw', [('CMYK', 'JPEG', {}), ('CMYK', 'TIFF', {}), ('P', 'PNG', {}), ('P', 'GIF', {}), ('RGBA', 'PNG', {}),
    ('RGBA', 'WEBP', dict(lossless=True)), ('YCbCr', 'JPEG', {}), ('RGB', 'AVIF', dict(quality=95)), ('RGB', 'ICO', dict(sizes=[(32, 32)]))])
def test_red_stays_red(mode, kind, kw):
    r, g, b = colour(opens(picture(kind, (40, 40), mode=mode, **kw)))
    assert r > 240 and g < 15 and b < 15

def test_lab_opens_or_says_no():
    out, to = io.BytesIO(), ImageCms.buildTransform(ImageCms.createProfile('sRGB'), ImageCms.createProfile('LAB'), 'RGB', 'LAB')
    ImageCms.applyTransform(Image.new('RGB', (40, 30), 'red'), to).save(out, 'TIFF')
    img = opens(out.getvalue())
    assert img is None or img.size == (40, 30)

def test_cmyk_of_adobe_is_not_a_negative():
    data = picture('JPEG', (40, 30), (0, 255, 255), mode='CMYK')
    assert b'Adobe' in data[:200] and opens(data).getpixel((5, 5))[0] < 30 < 200 < opens(data).getpixel((5, 5))[1]

@pytest.mark.parametrize('depth, colour_type, value', [(16, 0, b'\x80\0'), (16, 2, b'\x80\0'*3), (16, 4, b'\x80\0\xff\xff'), (16, 6, b'\x80\0'*3+b'\xff\xff'),
                                                      (8, 0, b'\x80'), (8, 4, b'\x80\xff'), (8, 6, b'\x80\x80\x80\xff')])
def test_bit_depths(depth, colour_type, value):
    assert colour(opens(png(6, 5, depth, colour_type, pixels=(b'\0'+value*6)*5))) in [(127,)*3, (128,)*3]

def test_1_bit_and_large_numbers():
    assert colour(opens(picture('PNG', (9, 9), 'white', mode='1'))) == (255,)*3
    out = io.BytesIO()
    Image.fromarray(np.array([[np.nan, np.inf], [-np.inf, 1]], 'float32')).save(out, 'TIFF')
    assert opens(out.getvalue()).size == (2, 2)

@pytest.mark.parametrize('mode', ['RGBA', 'LA', 'P'])
def test_what_is_transparent_is_white(mode):
    img, out = Image.new('RGBA', (9, 9), (0, 0, 0, 0)).convert(mode), io.BytesIO()
    if mode == 'P': img.putpalette([0, 0, 0])
    img.save(out, 'PNG', **(dict(transparency=0) if mode == 'P' else {}))
    assert colour(opens(out.getvalue())) == (255,)*3

@pytest.mark.parametrize('n', range(1, 9))
def test_turned_by_exif(n):
    a = np.zeros((20, 40, 3), 'uint8')
    a[:10, :10] = 255, 0, 0                                  # Red at the upper left once it is upright
    back = {1:lambda o:o, 2:lambda o:o[:, ::-1], 3:lambda o:o[::-1, ::-1], 4:lambda o:o[::-1], 5:lambda o:o.transpose(1, 0, 2),
            6:lambda o:np.rot90(o), 7:lambda o:o.transpose(1, 0, 2)[::-1, ::-1], 8:lambda o:np.rot90(o, -1)}[n]
    exif, out = Image.Exif(), io.BytesIO()
    exif[274] = n
    Image.fromarray(np.ascontiguousarray(back(a))).save(out, 'JPEG', exif=exif, quality=95)
    img = opens(out.getvalue())
    assert img.size == (40, 20) and img.getpixel((3, 3))[0] > 200 and img.getpixel((36, 16))[0] < 50

@pytest.mark.parametrize('exif', [b'Exif\0\0', b'Exif\0\0II*\0\xff\xff\xff\xff', b'Exif\0\0garbage', b'Exif\0\0'+tags(900, 50_000), b'Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\x63\0\0\0\0\0\0'])
def test_broken_exif_spoils_no_photo(exif):
    body = noise('JPEG')
    if len(exif) < 65_000: assert opens(body[:2]+b'\xff\xe1'+struct.pack('>H', len(exif)+2)+exif+body[2:]).size == (60, 40)
    assert opens(png(60, 40, 8, 2, chunk(b'eXIf', exif[6:]))).size == (60, 40)

def test_broken_colour_profile_spoils_no_photo():
    for profile in (b'garbage', bytes(9), b'\0\0\x0c\x48Lino'+bytes(99)):
        assert opens(noise('JPEG', icc_profile=profile)) and opens(noise('WEBP', icc_profile=profile)) and opens(noise('PNG', icc_profile=profile))

def test_only_the_first_frame_is_read():
    t = time.perf_counter()
    assert opens(gif(10_000)).size == (2, 2) and time.perf_counter()-t < 1
    red, out = Image.new('RGB', (30, 20), 'red'), {}
    for kind in ('GIF', 'PNG', 'WEBP', 'TIFF', 'AVIF', 'MPO'):
        f = io.BytesIO()
        red.save(f, kind, save_all=True, append_images=[Image.new('RGB', (30, 20), 'blue')]*20)
        img = opens(f.getvalue())
        assert img.size == (30, 20) and colour(img)[0] > 240 > 15 > colour(img)[2], kind

def test_bmp_from_the_top():
    data = bytearray(picture('BMP', (8, 4)))
    data[22:26] = struct.pack('<i', -4)
    assert colour(opens(bytes(data))) == (255, 0, 0)

@pytest.mark.parametrize('size', [(1, 30_000), (30_000, 1), (1, 1)])
def test_odd_shapes(size):
    assert opens(picture('PNG', size)).size == size and opens(picture('JPEG', size)).size == size

def test_tags_without_end():
    many = b'II*\0'+struct.pack('<I', 8)+struct.pack('<H', 65_535)+bytes(range(256))*100
    big = b'II+\0\x08\0\0\0'+struct.pack('<Q', 16)+struct.pack('<Q', 2**63)+bytes(20_000)
    t = time.perf_counter()
    for data in (many, big, tags(60_000, 900_000), tags(9, 2**20, b'MM\0*')): opens(data)
    assert time.perf_counter()-t < 10

def test_heic_opens_or_says_what_it_needs(monkeypatch):
    heif = pytest.importorskip('pillow_heif')
    out = io.BytesIO()
    heif.from_pillow(Image.new('RGB', (64, 48), 'red')).save(out)
    data = out.getvalue()
    img = opens(data)
    assert img.size == (64, 48) and colour(img)[0] > 230
    for n in range(0, int(.9*len(data)), 9): assert opens(data[:n]) is None
    monkeypatch.setitem(sys.modules, 'pillow_heif', None)
    with pytest.raises(PhotoError, match='mine.heic: a HEIC photo.*pip install pillow-heif'): open_photo(data, 'mine.heic')

def test_heif_is_not_loaded_before_it_is_needed():
    code = 'import sys, eyewear.photo as c; from PIL import Image; c.open_photo(Image.new("L", (2,2))); print("pillow_heif" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout.strip() == 'False'

def test_a_picture_that_is_handed_in_is_left_alone():
    exif = Image.Exif()
    exif[274] = 6
    src = Image.open(io.BytesIO(picture('JPEG', (40, 30), exif=exif)))
    assert open_photo(src).size == (30, 40) and src.size == (40, 30)
    out = open_photo(rgb := Image.new('RGB', (4, 4), 'red'))
    out.putpixel((0, 0), (0, 0, 0))
    assert rgb.getpixel((0, 0)) == (255, 0, 0)

# ---- paths

@pytest.mark.skipif(os.name != 'posix', reason='pipes and devices')
def test_paths_that_are_no_file(tmp_path):
    os.mkfifo(tmp_path/'pipe.jpg')
    (tmp_path/'folder.jpg').mkdir()
    (tmp_path/'loop.jpg').symlink_to(tmp_path/'loop.jpg')
    for p in (tmp_path/'pipe.jpg', tmp_path/'folder.jpg', '/dev/zero', '/dev/stdin'):
        with pytest.raises(PhotoError, match='a folder or a device'): open_photo(p)
    for p in (tmp_path/'gone.jpg', tmp_path/'loop.jpg', 'a\0b.jpg', tmp_path/'folder.jpg'/'no.jpg'):
        with pytest.raises(PhotoError, match='no such file|cannot be read'): open_photo(p)
    with pytest.raises(PhotoError, match='cannot be read .File name too long'): open_photo('x'*5000)

@pytest.mark.skipif(os.name != 'posix', reason='permissions')
def test_no_permission(tmp_path):
    (tmp_path/'a.jpg').write_bytes(picture('JPEG'))
    (tmp_path/'a.jpg').chmod(0)
    root = os.geteuid() == 0
    if root: os.seteuid(65534)
    try:
        with pytest.raises(PhotoError, match='cannot be read .Permission denied'): open_photo(tmp_path/'a.jpg')
    finally:
        if root: os.seteuid(0)

def test_files_are_closed(tmp_path, monkeypatch):
    for name, data in BAD.items(): (tmp_path/name).write_bytes(data)
    (tmp_path/'good.jpg').write_bytes(picture('JPEG'))
    (tmp_path/'good.gif').write_bytes(gif(9))
    gc.collect()   # what earlier tests left open is not ours
    left = []
    monkeypatch.setattr(sys, 'unraisablehook', lambda o: left.append(o.exc_value))
    with warnings.catch_warnings():
        warnings.simplefilter('error', ResourceWarning)
        for f in tmp_path.iterdir(): opens(f)
        gc.collect()
    assert not left

def test_threads_keep_the_warnings_of_others():
    before = list(warnings.filters)
    ts = [threading.Thread(target=lambda: [opens(d) for d in [noise('JPEG'), *BAD.values()]*5]) for _ in range(4)]
    for t in ts: t.start()
    for t in ts: t.join()
    assert warnings.filters == before

def test_memory_stays_within_bounds(tmp_path):
    resource = pytest.importorskip('resource')
    (tmp_path/'wide.png').write_bytes(png(9000, 9990))
    (tmp_path/'clear.png').write_bytes(png(9000, 9990, 8, 6))
    (tmp_path/'text.png').write_bytes(MORE_BAD['text.png'])
    (tmp_path/'tags.tif').write_bytes(MORE_BAD['tags.tif'])
    code = f'''import resource, sys
from pathlib import Path
from eyewear.core import PhotoError
from eyewear.photo import open_photo
for f in sorted(Path({str(tmp_path)!r}).iterdir()):
    try: open_photo(f)
    except PhotoError: pass
status = Path('/proc/self/status')   # On Linux ru_maxrss begins with what the parent had
print(status.read_text().split('VmHWM:')[1].split()[0] if status.exists() else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)'''
    peak = int(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout)
    assert peak/(1e6 if sys.platform == 'darwin' else 1e3) < 1000   # MB; the picture itself takes 360
