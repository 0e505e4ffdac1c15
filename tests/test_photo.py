"`open_photo` against files of every kind: an RGB picture or a `PhotoError`, soon and in little memory; also in a process of its own."
import functools, gc, io, json, os, random, struct, subprocess, sys, time, timeit, warnings, zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from unittest.mock import Mock
import numpy as np
import pytest
from PIL import Image, ImageCms
from badphotos import BAD, MORE_BAD, chunk, gif, noise, picture, png, tags
from eyewear import photo
from eyewear.core import PhotoError
from eyewear.photo import max_side, open_photo, open_small, storable, stored_side
from oddphotos import SWAPPED, exif, odd_photos, saved, scene

pytestmark = pytest.mark.filterwarnings('ignore::UserWarning')
posix = pytest.mark.skipif(os.name != 'posix', reason='pipes, devices and permissions')

def opens(data, name='x.jpg'):
    "The picture, or None where `open_photo` says no in one line that begins with the name"
    try: img = open_photo(data, name)
    except PhotoError as e:
        assert str(e).startswith(f'{name}: ') and len(str(e).splitlines()) == 1 and len(str(e)) < 250
        return None
    assert img.mode == 'RGB' and img.tobytes()
    return img

@contextmanager
def soon(seconds):
    "What is done here has to take less than `seconds`"
    start = time.monotonic()
    yield
    assert time.monotonic()-start < seconds

def odd(name): return opens(odd_photos()[name])
def pixels(img): return np.asarray(img).astype(int)
def mean_colour(img): return tuple(int(o) for o in np.asarray(img).reshape(-1, 3).mean(0).round())

def same(img, want, by=3):
    "Are both of one size, and the pixels as good as equal?"
    return img is not None and img.size == want.size and np.abs(pixels(img)-np.asarray(want)).mean() < by

# -- What is no photo

@pytest.mark.parametrize('name', [*BAD, *MORE_BAD])
def test_what_is_no_photo(name):
    with soon(10): assert opens({**BAD, **MORE_BAD}[name], name) is None

CUTTABLE = {kind: noise(kind) for kind in 'JPEG PNG WEBP GIF TIFF BMP AVIF JPEG2000 ICO PPM'.split()}
CUTTABLE['progressive'] = noise('JPEG', progressive=True)
CUTTABLE['lzw'] = noise('TIFF', compression='tiff_lzw')
CUTTABLE['16bit'] = png(9, 9, 16, 2, pixels=b''.join(b'\0'+random.Random(i).randbytes(54) for i in range(9)))
@pytest.mark.parametrize('kind', CUTTABLE)
def test_cut_off_anywhere(kind):
    whole = CUTTABLE[kind]
    assert opens(whole)
    cuts = {*range(0, min(len(whole), 80)), *range(0, len(whole), max(1, len(whole)//60))}
    opened = sum(opens(whole[:n]) is not None for n in cuts if n < .9*len(whole))
    if kind == 'progressive': assert opened < len(cuts)
    else: assert opened == 0 # The end may be padding; a photo missing a tenth is none

@pytest.mark.parametrize('kind', CUTTABLE)
def test_flipped_bits(kind):
    rng = random.Random(kind)
    whole = CUTTABLE[kind]
    for attempt in range(60):
        bad = bytearray(whole)
        for flip in range(rng.choice([1, 1, 4, 30])):
            at = rng.randrange(rng.choice([64, len(bad)]))
            bad[at % len(bad)] ^= 1 << rng.randrange(8)
        opens(bytes(bad))

HEADS = [b'', b'\xff\xd8\xff\xe0', b'\x89PNG\r\n\x1a\n', b'GIF89a', b'RIFF\0\1\0\0WEBPVP8 ', b'II*\0', b'MM\0*', b'BM',
    b'\0\0\0\x20ftypavif', b'\0\0\0\x20ftypheic', b'\0\0\0\x0cjP  \r\n\x87\n', b'\0\0\1\0', b'P6 ', b'II+\0']

def test_random_bytes():
    rng = random.Random(0)
    for head in HEADS:
        for n in (1, 10, 100, 1000, 5000): assert opens(head+rng.randbytes(n)) is None

# -- Kinds that are put right

REDS = [('CMYK', 'JPEG', {}), ('CMYK', 'TIFF', {}), ('P', 'PNG', {}), ('P', 'GIF', {}), ('RGBA', 'PNG', {}),
    ('RGBA', 'WEBP', dict(lossless=True)), ('YCbCr', 'JPEG', {}), ('RGB', 'AVIF', dict(quality=95)),
    ('RGB', 'ICO', dict(sizes=[(32, 32)]))]
@pytest.mark.parametrize('mode, kind, kw', REDS)
def test_red_stays_red(mode, kind, kw):
    r, g, b = mean_colour(opens(picture(kind, (40, 40), mode=mode, **kw)))
    assert r > 240 and g < 15 and b < 15

def test_lab_stays_red():
    out = io.BytesIO()
    lab = ImageCms.buildTransform(ImageCms.createProfile('sRGB'), ImageCms.createProfile('LAB'), 'RGB', 'LAB')
    ImageCms.applyTransform(Image.new('RGB', (40, 30), 'red'), lab).save(out, 'TIFF')
    r, g, b = mean_colour(opens(out.getvalue()))
    assert r > 240 and g < 15 and b < 15

GREYS = [(16, 0, b'\x80\0'), (16, 2, b'\x80\0'*3), (16, 4, b'\x80\0\xff\xff'), (16, 6, b'\x80\0'*3+b'\xff\xff'),
    (8, 0, b'\x80'), (8, 4, b'\x80\xff'), (8, 6, b'\x80\x80\x80\xff')]
@pytest.mark.parametrize('depth, colour_type, value', GREYS)
def test_bit_depths(depth, colour_type, value):
    assert mean_colour(opens(png(6, 5, depth, colour_type, pixels=(b'\0'+value*6)*5))) in [(127,)*3, (128,)*3]

def grey_tiff(a): return saved(Image.fromarray(a), 'TIFF')

RAMPS = [('f4', 0, 1), ('f4', 0, 255), ('f4', 0, 65535), ('u2', 0, 65535), ('>u2', 0, 65535), ('u2', 0, 255),
    ('u2', 0, 4095), ('i4', 0, 255), ('i4', 0, 65535), ('i4', 0, 2**31-1), ('f4', 0, 1.2), ('f4', 0, 3e-5), ('f4', 0, 4e9),
    ('i4', -1000, -500), ('f4', -1000, -500), ('i4', 10**6, 10**6+500), ('f4', 10**6, 10**6+500)]
@pytest.mark.parametrize('kind, low, high', RAMPS)
def test_no_photo_is_black_in_silence(kind, low, high):
    ramp = np.linspace(low, high, 256).reshape(16, 16)
    seen = pixels(opens(grey_tiff(ramp.astype(kind))))[..., 0].ravel()
    assert abs(seen-np.arange(256)).max() <= (52 if high == 1.2 else 1) and seen[-1] == 255

def test_what_is_no_number_changes_no_other():
    ramp = np.linspace(0, 1, 2500).reshape(50, 50).astype('f4')
    ramp[3, :3] = np.nan, np.inf, -np.inf
    seen = pixels(opens(grey_tiff(ramp)))[..., 0]
    assert seen[3, :3].tolist() == [0, 255, 0] and abs(seen[10:]-255*ramp[10:]).max() <= 1
    ramp[3, :2] = 1e30, -1e30
    assert abs(pixels(opens(grey_tiff(ramp)))[10:, :, 0]-255*ramp[10:]).max() <= 1
    assert opens(grey_tiff(np.full((4, 4), np.nan, 'f4'))).size == (4, 4)

@pytest.mark.parametrize('depth, row, seen', [(2, b'\x1b', [0, 255, 170, 255]), (4, b'\x01\x2f', [0, 255, 34, 255])])
def test_transparent_grey_of_few_bits_is_white(depth, row, seen):
    img = opens(png(4, 1, depth, 0, chunk(b'tRNS', b'\0\1'), pixels=b'\0'+row))
    assert list(img.getchannel('G').tobytes()) == seen

# How the camera was held -> what was done to the picture, by numpy
HELD = {1: lambda o: o, 2: lambda o: o[:, ::-1], 3: lambda o: o[::-1, ::-1], 4: lambda o: o[::-1],
    5: lambda o: o.transpose(1, 0, 2), 6: np.rot90, 7: lambda o: o.transpose(1, 0, 2)[::-1, ::-1], 8: lambda o: np.rot90(o, -1)}
@pytest.mark.parametrize('n', HELD)
def test_turned_by_exif(n):
    a = np.zeros((20, 40, 3), 'uint8')
    a[:10, :10] = 255, 0, 0 # Red at the upper left once it is upright
    held = Image.fromarray(np.ascontiguousarray(HELD[n](a)))
    for kind in ('JPEG', 'PNG', 'TIFF', 'AVIF'):
        img = opens(saved(held, kind, exif=exif(n)))
        assert img.size == (40, 20) and img.getpixel((3, 3))[0] > 200 and img.getpixel((36, 16))[0] < 50, kind

ORIENTATIONS = [(3, 1, b'\0\6\0\0', (40, 60)), (4, 1, b'\0\0\0\6', (60, 40)), (9, 1, b'\0\0\0\6', (60, 40)),
    (3, 2, b'\0\6\0\6', (60, 40)), (1, 1, b'\6\0\0\0', (60, 40))]
@pytest.mark.parametrize('kind, count, value, size', ORIENTATIONS)
def test_only_one_short_number_turns(kind, count, value, size):
    note = b'Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12'+struct.pack('>HI', kind, count)+value+bytes(4)
    assert opens(noise('JPEG', exif=note)).size == size
    assert opens(png(60, 40, 8, 2, chunk(b'eXIf', note[6:]))).size == size

BROKEN_EXIF = [b'Exif\0\0', b'Exif\0\0II*\0\xff\xff\xff\xff', b'Exif\0\0garbage', b'Exif\0\0'+tags(900, 50_000),
    b'Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\x63\0\0\0\0\0\0']
@pytest.mark.parametrize('note', BROKEN_EXIF)
def test_broken_exif_spoils_no_photo(note):
    body = noise('JPEG')
    length = struct.pack('>H', min(len(note)+2, 65_535))
    if len(note) < 65_000: assert opens(body[:2]+b'\xff\xe1'+length+note+body[2:]).size == (60, 40)
    assert opens(png(60, 40, 8, 2, chunk(b'eXIf', note[6:]))).size == (60, 40)

@pytest.mark.parametrize('kind', ['JPEG', 'WEBP', 'PNG'])
def test_broken_colour_profile_spoils_no_photo(kind):
    for profile in (b'garbage', bytes(9), b'\0\0\x0c\x48Lino'+bytes(99)): assert opens(noise(kind, icc_profile=profile))

def test_a_thousand_frames_cost_no_time():
    with soon(1): assert opens(gif(10_000)).size == (2, 2)

@pytest.mark.parametrize('kind', ['GIF', 'PNG', 'WEBP', 'TIFF', 'AVIF', 'MPO'])
def test_only_the_first_frame_is_read(kind):
    blue = Image.new('RGB', (30, 20), 'blue')
    img = opens(saved(Image.new('RGB', (30, 20), 'red'), kind, save_all=True, append_images=[blue]*20))
    assert img.size == (30, 20) and mean_colour(img)[0] > 240 > 15 > mean_colour(img)[2]

def test_bmp_from_the_top():
    data = bytearray(picture('BMP', (8, 4)))
    data[22:26] = struct.pack('<i', -4)
    assert mean_colour(opens(bytes(data))) == (255, 0, 0)

SHAPES = [((1, 30_000), (1, 1024)), ((30_000, 1), (1024, 1)), ((1, 1), (1, 1)), ((2048, 1500), (1024, 750))]
@pytest.mark.parametrize('size, small', SHAPES)
def test_odd_shapes(size, small):
    for kind in ('PNG', 'JPEG'): assert opens(picture(kind, size)).size == small

def test_tags_without_end():
    many = b'II*\0'+struct.pack('<I', 8)+struct.pack('<H', 65_535)+bytes(range(256))*100
    big = b'II+\0\x08\0\0\0'+struct.pack('<Q', 16)+struct.pack('<Q', 2**63)+bytes(20_000)
    with soon(10):
        for data in (many, big, tags(60_000, 900_000), tags(9, 2**20, b'MM\0*')): opens(data)

# -- HEIC

def heic(img, **kw):
    heif = pytest.importorskip('pillow_heif')
    out = io.BytesIO()
    heif.from_pillow(img).save(out, **kw)
    return out.getvalue()

def test_heic_opens_or_says_what_it_needs(monkeypatch):
    data = heic(Image.new('RGB', (64, 48), 'red'))
    img = opens(data)
    assert img.size == (64, 48) and mean_colour(img)[0] > 230
    for n in range(0, int(.9*len(data)), 9): assert opens(data[:n]) is None
    monkeypatch.setitem(sys.modules, 'pillow_heif', None)
    with pytest.raises(PhotoError, match='mine.heic: a HEIC photo.*pip install pillow-heif'): open_photo(data, 'mine.heic')

def test_heif_is_not_loaded_before_it_is_needed():
    code = 'import sys; from eyewear import photo; photo.open_photo(photo.Image.new("L", (2,2))); print("pillow_heif" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout.strip() == 'False'

def test_heif_brands_are_those_of_the_library():
    data = heic(scene(), quality=95)
    from pillow_heif import is_supported
    for brand in (b'heic', b'heix', b'hevc', b'heim', b'heis', b'hevm', b'hevs', b'mif1', b'msf1'):
        if is_supported(b'\0\0\0\x1cftyp'+brand): assert opens(data[:8]+brand+data[12:]), brand

# -- Pictures, paths and files

def test_a_picture_that_is_handed_in_is_left_alone():
    src = Image.open(io.BytesIO(picture('JPEG', (40, 30), exif=exif(6))))
    assert open_photo(src).size == (30, 40) and src.size == (40, 30)
    rgb = Image.new('RGB', (4, 4), 'red')
    open_photo(rgb).putpixel((0, 0), (0, 0, 0))
    assert rgb.getpixel((0, 0)) == (255, 0, 0)

@posix
def test_paths_that_are_no_file(tmp_path):
    os.mkfifo(tmp_path/'pipe.jpg')
    (tmp_path/'folder.jpg').mkdir()
    (tmp_path/'loop.jpg').symlink_to(tmp_path/'loop.jpg')
    for path in (tmp_path/'pipe.jpg', tmp_path/'folder.jpg', '/dev/zero', '/dev/stdin'):
        with pytest.raises(PhotoError, match='a folder or a device'): open_photo(path)
    for path in (tmp_path/'gone.jpg', tmp_path/'loop.jpg', 'a\0b.jpg', tmp_path/'folder.jpg'/'no.jpg'):
        with pytest.raises(PhotoError, match='no such file|cannot be read'): open_photo(path)
    with pytest.raises(PhotoError, match='cannot be read .File name too long'): open_photo('x'*5000)

@posix
def test_no_permission(tmp_path):
    (tmp_path/'a.jpg').write_bytes(picture('JPEG'))
    (tmp_path/'a.jpg').chmod(0)
    user = os.geteuid()
    if user == 0: os.seteuid(65534) # root may read all
    try:
        with pytest.raises(PhotoError, match='cannot be read .Permission denied'): open_photo(tmp_path/'a.jpg')
    finally: os.seteuid(user)

def test_files_are_closed(tmp_path, monkeypatch):
    for name, data in BAD.items(): (tmp_path/name).write_bytes(data)
    (tmp_path/'good.jpg').write_bytes(picture('JPEG'))
    (tmp_path/'good.gif').write_bytes(gif(9))
    gc.collect() # What earlier tests left open is not ours
    left_open = []
    monkeypatch.setattr(sys, 'unraisablehook', lambda o: left_open.append(o.exc_value))
    with warnings.catch_warnings():
        warnings.simplefilter('error', ResourceWarning)
        for f in tmp_path.iterdir(): opens(f)
        gc.collect()
    assert not left_open

def test_threads_keep_the_warnings_of_others():
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool: list(pool.map(opens, [noise('JPEG'), *BAD.values()]*20))
    assert warnings.filters == before

# -- What a browser opens: all of `odd_photos` beside a browser itself in page/test_widgets.py

NOTES = [(0xe0, b'JFIF\0'), (0xe2, b'ICC_PROFILE\0'), (0xe2, b'ICC_PROFILE\0\1'),
    (0xed, b'Photoshop 3.0\x008BIM\3\xed'), (0xee, b'Adobe')]
@pytest.mark.parametrize('number, note', NOTES)
def test_note_that_breaks_off_spoils_no_jpeg(number, note):
    whole = saved(scene(), 'JPEG', icc_profile=SWAPPED)
    broken = whole[:2]+b'\xff'+bytes([number])+struct.pack('>H', len(note)+2)+note+whole[2:]
    for data in (broken, broken[:-2]): assert np.array_equal(opens(data), opens(whole))

ENCODINGS = [{}, dict(progressive=True), dict(subsampling=0), dict(restart_marker_rows=1), dict(optimize=True)]
@pytest.mark.parametrize('kw', ENCODINGS)
@pytest.mark.parametrize('mode', ['RGB', 'L', 'CMYK'])
def test_jpeg_without_its_last_bytes_is_whole_and_without_more_is_not(mode, kw):
    data = saved(scene().convert(mode), 'JPEG', **kw)
    whole = opens(data)
    for n in (1, 2): assert np.array_equal(opens(data[:-n]), whole)
    for n in range(3, 60):
        img = opens(data[:-n])
        if img: assert n <= 4 and np.array_equal(img, whole) # Nothing but padding is missing there

def test_large_jpeg_cut_off_is_no_photo():
    a = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype='u1')
    whole = saved(Image.fromarray(a).resize((4000, 3000)), 'JPEG')
    assert opens(whole[:-2]).size == (1024, 768)
    for n in (22, 2000): assert not opens(whole[:-n])

@functools.cache
def scene_from_p3():
    "The scene in sRGB where its numbers are those of Display P3 with a gamma of 2.2, by the textbook's matrix"
    matrix = np.array([[1.2249, -.2247, 0], [-.042, 1.0419, 0], [-.0197, -.0786, 1.0979]])
    linear = ((np.asarray(scene())/255)**2.2 @ matrix.T).clip(0, 1)
    encoded = np.where(linear <= .0031308, linear*12.92, 1.055*linear**(1/2.4)-.055)
    return Image.fromarray((255*encoded).round().astype('u1'))

IN_P3 = 'p3.jpg p3.png palette_p3.png p3.webp p3.avif gamma_screen.png number_p3.png number_p3.avif'
@pytest.mark.parametrize('name', IN_P3.split())
def test_display_p3_becomes_srgb(name):
    assert same(odd(name), scene_from_p3(), 4)
    assert not same(odd(name), scene(), 8)

def test_srgb_profile_changes_no_pixel_and_costs_nothing():
    plain = saved(scene(1024, 768), 'JPEG')
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    data = saved(scene(1024, 768), 'JPEG', icc_profile=profile)
    assert np.array_equal(opens(data), opens(plain))
    seconds = [min(timeit.repeat(lambda: open_photo(o), number=1, repeat=7)) for o in (data, plain)]
    assert seconds[0] < 1.5*seconds[1]

def test_profile_is_used_once():
    once = open_photo(odd_photos()['swapped.jpg'])
    assert np.array_equal(open_photo(once), once) and not once.info

def test_large_photo_is_made_small():
    assert same(odd('large.jpg'), scene().resize((1024, 768)))
    assert open_photo(odd_photos()['large.jpg'], side=64).size == (64, 48)
    assert open_photo(Image.new('RGB', (4000, 3000)), side=4000).size == (4000, 3000)

@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'L', 'P', 'I;16', 'F'])
def test_strips_meet(mode):
    "A photo of more than one strip looks as a small one does"
    ramp = Image.linear_gradient('L').resize((2500, 5001))
    if mode == 'I;16': img = Image.fromarray(np.asarray(ramp).astype('u2')*257)
    elif mode == 'F': img = Image.fromarray(np.asarray(ramp)/np.float32(255))
    else: img = ramp.convert(mode)
    seen = pixels(open_photo(img))
    assert seen.shape == (1024, 512, 3) and abs(seen[:, 9, 0]-np.linspace(0, 255, 1024)).max() <= 3

# -- What is stored

PLAIN = 'plain.jpg progressive.jpg grey.jpg plain.png plain.webp broken_profile.jpg deep.png'
@pytest.mark.parametrize('name', PLAIN.split())
def test_plain_photo_is_stored_byte_for_byte(name): assert storable(odd_photos()[name])[0] == odd_photos()[name]

@pytest.mark.parametrize('name', [o for o in odd_photos() if o.endswith(('.jpg', '.png', '.webp'))])
def test_stored_photo_looks_the_same_to_every_program(name):
    "Pillow itself, which knows nothing of profiles, and turns by EXIF and XMP"
    data, _, width, height = storable(odd_photos()[name])
    raw = Image.open(io.BytesIO(data))
    raw.load()
    assert raw.getexif().get(274, 1) == 1 and raw.size == (width, height) and getattr(raw, 'n_frames', 1) == 1
    by = {'bit.png':30, 'long.jpg':4}.get(name, 3) # What a JPEG loses of single dots, and of 34 rows
    for img in (raw.convert('RGB'), open_photo(data)): assert same(img, odd(name), by)

def test_nothing_but_pixels_is_written():
    data = storable(odd_photos()['p3.jpg'])[0]
    assert data != odd_photos()['p3.jpg']
    assert set(Image.open(io.BytesIO(data)).info) <= {'jfif', 'jfif_version', 'jfif_unit', 'jfif_density'}

# -- What it costs

LIMITED = '''import json, resource, sys, time
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (4*2**30, 4*2**30))
from PIL import Image
from eyewear.photo import open_photo
def now(key): return int(Path('/proc/self/status').read_text().split(key)[1].split()[0])/1e3
open_photo(Image.new('RGB', (9, 9)))
before = now('VmRSS:')
start = time.perf_counter()
try: text = str(open_photo(sys.argv[1], 'it').size)
except Exception as e: text = f'{type(e).__name__} {e}'
print(json.dumps([text, time.perf_counter()-start, now('VmHWM:')-before, now('VmRSS:')-before]))'''

def cost(path, patience=60):
    "What is said of a file, in how many seconds, with how many MB at most and at the end; in a process of 4 GB"
    if sys.platform != 'linux': pytest.skip('memory is read from /proc')
    res = subprocess.run([sys.executable, '-c', LIMITED, str(path)], capture_output=True, text=True, timeout=patience)
    assert res.returncode == 0, res.stderr[-500:]
    return json.loads(res.stdout)

def tile_tiff(side):
    "A picture of 100 x 100 pixels in one tile of `side` x `side`"
    data = zlib.compress(bytes(3*side*side//8), 9)
    at = 8+2+12*11+4
    values = {256:100, 257:100, 258:8, 259:8, 262:2, 277:3, 284:1, 322:side, 323:side, 324:at, 325:len(data)}
    entries = b''.join(struct.pack('<HHII', tag, 4, 1, value) for tag, value in values.items())
    return b'II*\0'+struct.pack('<I', 8)+struct.pack('<H', len(values))+entries+bytes(4)+data

def icon(inside):
    return struct.pack('<HHH', 0, 1, 1)+struct.pack('<BBBBHHII', 0, 0, 0, 0, 1, 32, len(inside), 22)+inside

def many_scans(n):
    "A JPEG that goes over its pixels `n` times"
    whole = saved(scene(1600, 1200), 'JPEG', progressive=True)
    return whole[:-2]+b'\xff\xda\0\x08\1\1\0\1\x3f\0\0\0'*n+whole[-2:]

def bitmap(width, height): return struct.pack('<IiiHHIIiiII', 40, width, 2*height, 1, 24, 0, 0, 0, 0, 0, 0)

def runs(width, height):
    "A grey BMP packed in runs, one of a single pixel in each line"
    grey = bytes(v for i in range(256) for v in (i, i, i, 0))
    head = struct.pack('<IiiHHIIiiII', 40, width, height, 1, 8, 1, 0, 0, 0, 256, 0)
    return b'BM'+struct.pack('<IHHI', 0, 0, 0, 14+40+1024)+head+grey+b'\1\x80\0\0'*height+b'\0\1'

def last_text(): return odd_photos()['plain.png'][:-12]+MORE_BAD['text.png'][33:-40]
# JPEG 2000 at its full size alone: a little more than may be decoded
HOSTILE = {'line.png':(lambda: png(90_000_000, 1, 8, 0), 'at most 65,535 a side'),
    'pole.png':(lambda: png(1, max_side+1, 8, 0), 'at most 65,535 a side'),
    'tile.tif':(lambda: tile_tiff(26_000), 'a tile of 26,000 x 26,000'),
    'icon.ico':(lambda: icon(png(9000, 9000)), 'an icon of 9,000 x 9,000'),
    'bitmap.ico':(lambda: icon(bitmap(20_000, 20_000)), 'an icon of 20,000 x 40,000'),
    'scans.jpg':(lambda: many_scans(5000), 'more than 100 scans'),
    'wide.webp':(lambda: saved(Image.new('RGB', (8001, 8001)), 'WEBP', method=0), 'at most 64,000,000'),
    'text.png':(lambda: MORE_BAD['text.png'], 'more text'),
    'last_text.png':(last_text, 'more text'),
    'runs.bmp':(lambda: runs(60_000, 1000), 'a BMP packed in runs'),
    'whole.jp2':(lambda: saved(Image.new('L', (5700, 5700)), 'JPEG2000', num_resolutions=1), 'JPEG 2000')}
@pytest.mark.parametrize('name', HOSTILE)
def test_refused_before_it_costs_anything(name, tmp_path):
    make, reason = HOSTILE[name]
    (tmp_path/name).write_bytes(make())
    text, seconds, peak, _ = cost(tmp_path/name)
    assert text.startswith('PhotoError it: ') and reason in text
    assert seconds < 3 and peak < 100

def phone(kind, size=(12_000, 9000), **kw): return lambda: saved(Image.new('RGB', size, (90, 120, 200)), kind, **kw)

# MB while it is decoded: JPEG and JPEG 2000 at a fraction of their size, the others whole, and no second copy of them
LARGE = {'phone.jpg':(phone('JPEG'), 100),
    'progressive.jpg':(phone('JPEG', progressive=True), 450),
    'phone.png':(phone('PNG', compress_level=1), 650),
    'clear.png':(lambda: png(9000, 9990, 8, 6), 650),
    'phone.jp2':(phone('JPEG2000', (6000, 4500)), 63),
    'flat.avif':(lambda: saved(Image.new('RGB', (9000, 9990)), 'AVIF', speed=10), 1000),
    'float.tif':(lambda: saved(Image.new('F', (9000, 9990), .5), 'TIFF', compression='tiff_adobe_deflate'), 750)}
@pytest.mark.parametrize('name', LARGE)
def test_large_photo_takes_little_memory_and_keeps_less(name, tmp_path):
    make, limit = LARGE[name]
    (tmp_path/name).write_bytes(make())
    text, seconds, peak, kept = cost(tmp_path/name)
    assert '1024' in text and 'Error' not in text
    assert peak < limit and kept < 100 and seconds < 30

def test_small_bmp_in_runs_opens(): assert opens(runs(40, 30)).size == (40, 30)
def test_hundred_scans_are_no_attack(): assert opens(many_scans(50))

def test_bytes_that_look_like_scans_are_none():
    "Behind the end of a photo, as in one with a film, or in its EXIF"
    whole = saved(scene(), 'JPEG')
    assert opens(whole+b'\xff\xda'*5000)
    assert opens(whole[:2]+b'\xff\xe5\x20\x02'+b'\xff\xda'*4096+whole[2:])

def test_marker_without_length_hides_no_scan():
    whole = saved(scene().convert('L'), 'JPEG', progressive=True)
    scan = whole[whole.rfind(b'\xff\xda'):][:10]
    with pytest.raises(PhotoError, match='more than 100 scans'): open_photo(whole[:-2]+(b'\xff\1'+scan)*400+whole[-2:])

def test_too_little_memory_is_said(monkeypatch):
    def load(*args): raise MemoryError
    monkeypatch.setattr('PIL.PngImagePlugin.PngImageFile.load', load)
    with pytest.raises(PhotoError, match='a.png: takes more memory'): open_photo(odd_photos()['plain.png'], 'a.png')

FAILING = [saved(scene(), 'JPEG')[:-500], saved(scene(), 'PNG')[:-500], b'no photo', png(9, 9, pixels=b'no zlib')]
@pytest.mark.parametrize('data', FAILING)
def test_error_keeps_no_photo(data):
    with pytest.raises(PhotoError) as e: open_photo(data)
    frame = e.value.__traceback__.tb_next
    assert frame and e.value.__context__ is None and e.value.__cause__ is None
    while frame:
        kept = frame.tb_frame.f_locals.values()
        assert not [o for o in kept if isinstance(o, (bytes, io.IOBase, Image.Image))]
        frame = frame.tb_next

def test_photo_of_200_megapixels_is_to_be_saved_smaller():
    whole = bytearray(saved(scene(), 'JPEG'))
    at = whole.index(b'\xff\xc0')+5
    whole[at:at+4] = struct.pack('>HH', 12_240, 16_320)
    limit = '16,320 x 12,240 pixels; at most 128,000,000 are opened here; save it smaller first'
    with pytest.raises(PhotoError, match=limit): open_photo(bytes(whole))

# -- In a process of its own

@pytest.fixture
def started(monkeypatch):
    "The processes that were started"
    spy = Mock(wraps=subprocess.run)
    monkeypatch.setattr(photo.subprocess, 'run', spy)
    return spy.call_args_list

def test_what_a_browser_makes_is_opened_right_here(started):
    img = open_small(picture('JPEG', (1024,768)), 'a.jpg')
    assert (img.size, img.mode, started) == ((1024,768), 'RGB', [])

SMALL = [('PNG', (400,300), (400,300)), ('JPEG', (3000,2000), (1024,683)), ('WEBP', (10,2000), (5,1024))]
@pytest.mark.parametrize('kind, size, small', SMALL)
def test_anything_else_elsewhere_and_small(started, kind, size, small):
    img = open_small(picture(kind, size, 'teal'), 'a')
    assert len(started) == 1 and img.size == small and max(img.size) <= stored_side
    assert np.abs(np.array(img.getpixel((2,2)))-(0,128,128)).max() < 9
    assert started[0].kwargs['env']['OPENBLAS_NUM_THREADS'] == '1' # 64 of them keep 2.6 GB

@pytest.mark.parametrize('name', BAD)
def test_bad_file_is_the_same_sentence_as_ever(name):
    with pytest.raises(PhotoError) as here: open_photo(BAD[name], name)
    with pytest.raises(PhotoError) as elsewhere: open_small(BAD[name], name)
    assert str(elsewhere.value) == str(here.value) and str(here.value).startswith(f'{name}: ')

@pytest.mark.parametrize('name', ['a\0b.jpg', 'a\nb.jpg', "'; rm -rf .jpg", '-c.jpg', 'Ωμέγα.jpg'])
def test_name_is_a_name_and_nothing_else(name):
    with pytest.raises(PhotoError) as e: open_small(b'no photo', name)
    assert str(e.value).startswith(name)

SLOW = 'import time; time.sleep(60)'
CRASH = 'import os; os.kill(os.getpid(), 11)'
HUNGRY = '''from eyewear import photo
def decode(*args): return bytearray(3*2**30)
photo._decode = decode
photo._open_stdin()'''

ENDLESS = [(SLOW, 'a.png: takes more than 1 seconds to open'), (CRASH, 'a.png: cannot be opened here'),
    (HUNGRY, 'a.png: takes more memory to open than there is here')]
@pytest.mark.parametrize('code, text', ENDLESS, ids=['slow', 'crash', 'hungry'])
def test_decoder_that_does_not_stop_is_a_sentence(monkeypatch, code, text):
    if code == HUNGRY and sys.platform != 'linux': pytest.skip('only Linux limits memory')
    run = subprocess.run
    monkeypatch.setattr(photo, 'max_seconds', 1 if code == SLOW else 15)
    monkeypatch.setattr(photo.subprocess, 'run', lambda command, **kw: run([sys.executable, '-c', code], **kw))
    with soon(20), pytest.raises(PhotoError) as e: open_small(noise('PNG'), 'a.png')
    assert str(e.value).startswith(text)
