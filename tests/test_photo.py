"`open_photo` against files of every kind: an RGB picture or a `PhotoError`, soon and in little memory."
import gc, io, json, os, random, struct, subprocess, sys, threading, time, warnings, zlib
import numpy as np
import pytest
from PIL import Image, ImageCms
from badphotos import BAD, MORE_BAD, chunk, gif, noise, picture, png, tags
from eyewear.core import PhotoError
from eyewear.photo import max_pixels, max_side, open_photo, storable
from oddphotos import P3, SWAPPED, XMP, before_pixels, exif, odd_photos, packed_text, saved, scene

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

def test_1_bit(): assert colour(opens(picture('PNG', (9, 9), 'white', mode='1'))) == (255,)*3

def grey_tiff(a, **kw): return saved(Image.fromarray(a), 'TIFF', **kw)

@pytest.mark.parametrize('kind, top', [('f4', 1), ('f4', 255), ('f4', 65535), ('u2', 65535), ('>u2', 65535), ('u2', 255), ('u2', 4095), ('i4', 255), ('i4', 65535), ('i4', 2**31-1),
                                       ('f4', 1.2), ('f4', 3e-5), ('f4', 4e9)])
def test_no_photo_is_black_in_silence(kind, top):
    ramp = np.linspace(0, top, 256).reshape(16, 16)
    seen = np.asarray(opens(grey_tiff(ramp.astype(kind))))[..., 0].ravel().astype(int)
    assert abs(seen-np.arange(256)).max() <= (1 if top != 1.2 else 52) and seen[-1] == 255

@pytest.mark.parametrize('shift', [-1000, 1e6])
def test_values_far_out_are_seen(shift):
    ramp = np.linspace(0, 500, 256).reshape(16, 16)+shift
    for kind in ('i4', 'f4'): assert abs(np.asarray(opens(grey_tiff(ramp.astype(kind))))[..., 0].ravel().astype(int)-np.arange(256)).max() <= 1

def test_what_is_no_number_changes_no_other():
    ramp = np.linspace(0, 1, 2500).reshape(50, 50).astype('f4')
    ramp[3, :3] = np.nan, np.inf, -np.inf
    seen = np.asarray(opens(grey_tiff(ramp)))[..., 0]
    assert seen[3, :3].tolist() == [0, 255, 0] and abs(seen[10:]-255*ramp[10:]).max() <= 1
    ramp[3, :2] = 1e30, -1e30
    assert abs(np.asarray(opens(grey_tiff(ramp)))[10:, :, 0]-255*ramp[10:]).max() <= 1
    assert opens(grey_tiff(np.full((4, 4), np.nan, 'f4'))).size == (4, 4)

def test_deep_png_is_as_dark_as_in_a_browser(): assert colour(opens(odd_photos()['dark.png'])) < (2, 2, 2)

@pytest.mark.parametrize('mode', ['RGBA', 'LA', 'P'])
def test_what_is_transparent_is_white(mode):
    img, out = Image.new('RGBA', (9, 9), (0, 0, 0, 0)).convert(mode), io.BytesIO()
    if mode == 'P': img.putpalette([0, 0, 0])
    img.save(out, 'PNG', **(dict(transparency=0) if mode == 'P' else {}))
    assert colour(opens(out.getvalue())) == (255,)*3

@pytest.mark.parametrize('depth, row, seen', [(2, b'\x1b', [0, 255, 170, 255]), (4, b'\x01\x2f', [0, 255, 34, 255])])
def test_transparent_grey_of_few_bits_is_white(depth, row, seen):
    img = opens(png(4, 1, depth, 0, chunk(b'tRNS', b'\0\1'), pixels=b'\0'+row))
    assert list(img.getchannel('G').tobytes()) == seen

@pytest.mark.parametrize('n', range(1, 9))
def test_turned_by_exif(n):
    a = np.zeros((20, 40, 3), 'uint8')
    a[:10, :10] = 255, 0, 0                                  # Red at the upper left once it is upright
    back = {1:lambda o:o, 2:lambda o:o[:, ::-1], 3:lambda o:o[::-1, ::-1], 4:lambda o:o[::-1], 5:lambda o:o.transpose(1, 0, 2),
            6:lambda o:np.rot90(o), 7:lambda o:o.transpose(1, 0, 2)[::-1, ::-1], 8:lambda o:np.rot90(o, -1)}[n]
    for kind in ('JPEG', 'PNG', 'TIFF', 'AVIF'):
        img = opens(saved(Image.fromarray(np.ascontiguousarray(back(a))), kind, exif=exif(n)))
        assert img.size == (40, 20) and img.getpixel((3, 3))[0] > 200 and img.getpixel((36, 16))[0] < 50, kind

@pytest.mark.parametrize('kind, count, value, size', [(3, 1, b'\0\6\0\0', (40, 60)), (4, 1, b'\0\0\0\6', (60, 40)), (9, 1, b'\0\0\0\6', (60, 40)), (3, 2, b'\0\6\0\6', (60, 40)),
    (1, 1, b'\6\0\0\0', (60, 40))])
def test_only_one_short_number_turns(kind, count, value, size):
    note = b'Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12'+struct.pack('>HI', kind, count)+value+bytes(4)
    assert opens(noise('JPEG', exif=note)).size == size
    assert opens(png(60, 40, 8, 2, chunk(b'eXIf', note[6:]))).size == size

@pytest.mark.parametrize('note', [b'Exif\0\0', b'Exif\0\0II*\0\xff\xff\xff\xff', b'Exif\0\0garbage', b'Exif\0\0'+tags(900, 50_000), b'Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\x63\0\0\0\0\0\0'])
def test_broken_exif_spoils_no_photo(note):
    body = noise('JPEG')
    if len(note) < 65_000: assert opens(body[:2]+b'\xff\xe1'+struct.pack('>H', len(note)+2)+note+body[2:]).size == (60, 40)
    assert opens(png(60, 40, 8, 2, chunk(b'eXIf', note[6:]))).size == (60, 40)

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

@pytest.mark.parametrize('size, small', [((1, 30_000), (1, 1024)), ((30_000, 1), (1024, 1)), ((1, 1), (1, 1)), ((2048, 1500), (1024, 750))])
def test_odd_shapes(size, small):
    assert opens(picture('PNG', size)).size == small and opens(picture('JPEG', size)).size == small

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
    src = Image.open(io.BytesIO(picture('JPEG', (40, 30), exif=exif(6))))
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

# ---- what a browser opens

def same(img, want, by=3): return img is not None and img.size == want.size and np.abs(np.asarray(img).astype(int)-np.asarray(want)).mean() < by

WHOLE = 'text big_profile text_wrong_sum last_text_wrong_sum density_wrong_sum gamma_wrong_sum time_wrong_sum exif6_wrong_sum exif6_last p3_wrong_sum'.split()

@pytest.mark.parametrize('name', WHOLE)
def test_what_is_beside_the_pixels_spoils_no_png(name):
    img = scene()
    if name == 'big_profile': img = opens(saved(img, 'PNG', icc_profile=SWAPPED))
    assert same(opens(odd_photos()[f'{name}.png']), img, .1)

@pytest.mark.parametrize('number, note', [(0xe0, b'JFIF\0'), (0xe2, b'ICC_PROFILE\0'), (0xe2, b'ICC_PROFILE\0\1'), (0xed, b'Photoshop 3.0\x008BIM\3\xed'), (0xee, b'Adobe')])
def test_note_that_breaks_off_spoils_no_jpeg(number, note):
    whole = saved(scene(), 'JPEG', icc_profile=SWAPPED)
    odd = whole[:2]+b'\xff'+bytes([number])+struct.pack('>H', len(note)+2)+note+whole[2:]
    assert np.array_equal(opens(odd), opens(whole)) and np.array_equal(opens(odd[:-2]), opens(whole))

@pytest.mark.parametrize('kw', [{}, dict(progressive=True), dict(subsampling=0), dict(restart_marker_rows=1), dict(optimize=True)])
@pytest.mark.parametrize('mode', ['RGB', 'L', 'CMYK'])
def test_jpeg_without_its_last_bytes_is_whole_and_without_more_is_not(mode, kw):
    whole = saved(scene().convert(mode), 'JPEG', **kw)
    assert np.array_equal(opens(whole[:-2]), opens(whole)) and np.array_equal(opens(whole[:-1]), opens(whole))
    came = [n for n in range(3, 60) if opens(whole[:-n])]
    assert not came or max(came) <= 4                              # Nothing but padding is missing there, and the picture is the same
    assert all(np.array_equal(opens(whole[:-n]), opens(whole)) for n in came)

def test_large_jpeg_cut_off_is_no_photo():
    rng = np.random.default_rng(0)
    whole = saved(Image.fromarray(rng.integers(0, 255, (300, 400, 3), dtype='u1')).resize((4000, 3000)), 'JPEG')
    assert opens(whole[:-2]).size == (1024, 768) and not opens(whole[:-22]) and not opens(whole[:-2000])

def linear(v): return np.where(v <= .04045, v/12.92, ((v+.055)/1.055)**2.4)
def encoded(v): return np.where(v <= .0031308, v*12.92, 1.055*v**(1/2.4)-.055)

def p3_as_srgb(img):
    "What the numbers of `img` mean in sRGB where they are those of Display P3, with a gamma of 2.2; by the matrix that textbooks have"
    matrix = np.array([[1.2249, -.2247, 0], [-.042, 1.0419, 0], [-.0197, -.0786, 1.0979]])
    return Image.fromarray((255*encoded(((np.asarray(img)/255)**2.2 @ matrix.T).clip(0, 1))).round().astype('u1'))

@pytest.mark.parametrize('name', ['p3.jpg', 'p3.png', 'palette_p3.png', 'p3.webp', 'p3.avif', 'gamma_screen.png', 'number_p3.png', 'number_p3.avif'])
def test_display_p3_becomes_srgb(name):
    assert same(opens(odd_photos()[name]), p3_as_srgb(scene()), 4) and not same(opens(odd_photos()[name]), scene(), 8)

@pytest.mark.parametrize('name', ['broken_profile.jpg', 'profile_of_grey.jpg', 'screen.png', 'srgb_gamma1.png', 'number_tv.avif', 'number_unknown.avif'])
def test_profile_that_says_nothing_changes_nothing(name): assert same(opens(odd_photos()[name]), scene())

def test_gamma_and_grey_profiles():
    grey = np.asarray(scene().convert('L'))/255
    want = Image.fromarray(np.repeat((255*encoded(grey)).round().astype('u1')[..., None], 3, -1))
    assert same(opens(odd_photos()['gamma_grey.png']), want, 1) and same(opens(odd_photos()['bright_grey.jpg']), want)

def test_inks_are_seen_by_their_profile():
    plain, seen = (np.asarray(opens(odd_photos()[o])).astype(int) for o in ('press.jpg', 'press_profile.jpg'))
    assert np.abs(plain-seen).mean() > 10 and np.abs(seen[-30, 130]-plain[-30, 130]).max() > 5

def test_srgb_profile_changes_no_pixel_and_costs_nothing():
    data = saved(scene(1024, 768), 'JPEG', icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes())
    plain = saved(scene(1024, 768), 'JPEG')
    assert np.array_equal(opens(data), opens(plain))
    def seconds(data): return min(timed(data) for _ in range(7))
    def timed(data):
        t = time.perf_counter()
        open_photo(data)
        return time.perf_counter()-t
    assert seconds(data) < 1.5*seconds(plain)

def test_profile_is_used_once():
    once = open_photo(odd_photos()['swapped.jpg'])
    assert np.array_equal(open_photo(once), once) and not once.info

def test_xmp_turns_nothing():
    for name in ('xmp6.jpg', 'exif1_xmp6.jpg'): assert opens(odd_photos()[name]).size == (160, 120)
    assert same(opens(odd_photos()['exif3_xmp6.jpg']), scene().transpose(Image.Transpose.ROTATE_180))
    assert opens(saved(scene(), 'WEBP', xmp=XMP)).size == opens(saved(scene(), 'AVIF', xmp=XMP)).size == (160, 120)

def test_webp_is_not_turned_as_in_chromium(): assert opens(odd_photos()['exif6.webp']).size == (160, 120)

def test_large_photo_is_made_small():
    assert same(opens(odd_photos()['large.jpg']), scene(4000, 3000).resize((1024, 768)))
    assert open_photo(odd_photos()['large.jpg'], side=64).size == (64, 48) and open_photo(scene(4000, 3000), side=4000).size == (4000, 3000)

@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'L', 'P', 'I;16', 'F'])
def test_strips_meet(mode):
    "A photo of more than one strip looks as a small one does"
    ramp = Image.linear_gradient('L').resize((2500, 5001))
    if mode in ('I;16', 'F'): img = Image.fromarray(np.asarray(ramp).astype('u2')*257 if mode == 'I;16' else np.asarray(ramp)/np.float32(255))
    else: img = ramp.convert(mode)
    seen = np.asarray(open_photo(img)).astype(int)
    assert seen.shape == (1024, 512, 3) and abs(seen[:, 9, 0]-np.linspace(0, 255, 1024)).max() <= 3

def test_heif_brands_are_those_of_the_library():
    heif = pytest.importorskip('pillow_heif')
    out = io.BytesIO()
    heif.from_pillow(scene()).save(out, quality=95)
    for brand in (b'heic', b'heix', b'hevc', b'heim', b'heis', b'hevm', b'hevs', b'mif1', b'msf1'):
        if heif.is_supported(b'\0\0\0\x1cftyp'+brand): assert opens(out.getvalue()[:8]+brand+out.getvalue()[12:]), brand

# ---- what is stored

@pytest.mark.parametrize('name', ['plain.jpg', 'progressive.jpg', 'grey.jpg', 'plain.png', 'plain.webp', 'broken_profile.jpg', 'deep.png'])
def test_plain_photo_is_stored_byte_for_byte(name): assert storable(odd_photos()[name])[0] == odd_photos()[name]

PLAIN_FOR_PILLOW = [o for o in odd_photos() if o.split('.')[1] in ('jpg', 'png', 'webp')]

@pytest.mark.parametrize('name', PLAIN_FOR_PILLOW)
def test_stored_photo_looks_the_same_to_every_program(name):
    "Pillow itself, which knows nothing of profiles, and turns by EXIF and XMP"
    data, ending, width, height = storable(odd_photos()[name])
    raw = Image.open(io.BytesIO(data))
    raw.load()
    assert raw.getexif().get(274, 1) == 1 and raw.size == (width, height) and getattr(raw, 'n_frames', 1) == 1
    by = {'bit.png':30, 'long.jpg':4}.get(name, 3)                 # What a JPEG loses of single dots, and of 34 rows
    assert same(raw.convert('RGB'), open_photo(odd_photos()[name]), by) and same(open_photo(data), open_photo(odd_photos()[name]), by)

def test_nothing_but_pixels_is_written():
    data = storable(odd_photos()['p3.jpg'])[0]
    assert data != odd_photos()['p3.jpg'] and set(Image.open(io.BytesIO(data)).info) <= {'jfif', 'jfif_version', 'jfif_unit', 'jfif_density'}

# ---- what it costs

LIMITED = '''import json, resource, sys, time
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (4*2**30, 4*2**30))
from PIL import Image
from eyewear.photo import open_photo
def now(key): return int(Path('/proc/self/status').read_text().split(key)[1].split()[0])/1e3
open_photo(Image.new('RGB', (9, 9)))
before, t = now('VmRSS:'), time.perf_counter()
try: said = str(open_photo(sys.argv[1], 'it').size)
except Exception as e: said = f'{type(e).__name__} {e}'
print(json.dumps([said, time.perf_counter()-t, now('VmHWM:')-before, now('VmRSS:')-before]))'''

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
    tags = {256:100, 257:100, 258:8, 259:8, 262:2, 277:3, 284:1, 322:side, 323:side, 324:at, 325:len(data)}
    ifd = struct.pack('<H', len(tags))+b''.join(struct.pack('<HHII', tag, 4, 1, value) for tag, value in tags.items())
    return b'II*\0'+struct.pack('<I', 8)+ifd+bytes(4)+data

def icon(inside): return struct.pack('<HHH', 0, 1, 1)+struct.pack('<BBBBHHII', 0, 0, 0, 0, 1, 32, len(inside), 22)+inside

def many_scans(n):
    "A JPEG that goes over its pixels `n` times"
    whole = saved(scene(1600, 1200), 'JPEG', progressive=True)
    return whole[:-2]+b'\xff\xda\0\x08\1\1\0\1\x3f\0\0\0'*n+whole[-2:]

def bitmap(width, height): return struct.pack('<IiiHHIIiiII', 40, width, 2*height, 1, 24, 0, 0, 0, 0, 0, 0)

def runs(width, height):
    "A grey BMP packed in runs, one of a single pixel in each line"
    head = struct.pack('<IiiHHIIiiII', 40, width, height, 1, 8, 1, 0, 0, 0, 256, 0)
    grey = bytes(v for i in range(256) for v in (i, i, i, 0))
    return b'BM'+struct.pack('<IHHI', 0, 0, 0, 14+40+1024)+head+grey+b'\1\x80\0\0'*height+b'\0\1'

HOSTILE = {'line.png':(lambda: png(90_000_000, 1, 8, 0), 'at most 65,535 a side'), 'pole.png':(lambda: png(1, max_side+1, 8, 0), 'at most 65,535 a side'),
    'tile.tif':(lambda: tile_tiff(26_000), 'a tile of 26,000 x 26,000'), 'icon.ico':(lambda: icon(png(9000, 9000)), 'an icon of 9,000 x 9,000'),
    'bitmap.ico':(lambda: icon(bitmap(20_000, 20_000)), 'an icon of 20,000 x 40,000'), 'scans.jpg':(lambda: many_scans(5000), 'more than 100 scans'),
    'wide.webp':(lambda: saved(Image.new('RGB', (8001, 8001)), 'WEBP', method=0), 'at most 64,000,000'),
    'text.png':(lambda: MORE_BAD['text.png'], 'more text'), 'last_text.png':(lambda: odd_photos()['plain.png'][:-12]+MORE_BAD['text.png'][33:-40], 'more text'),
    'runs.bmp':(lambda: runs(60_000, 1000), 'a BMP packed in runs'), 'whole.jp2':(lambda: saved(Image.new('L', (9000, 9000)), 'JPEG2000', num_resolutions=1), 'JPEG 2000')}

@pytest.mark.parametrize('name', HOSTILE)
def test_refused_before_it_costs_anything(name, tmp_path):
    make, why = HOSTILE[name]
    (tmp_path/name).write_bytes(make())
    said, seconds, most, _ = cost(tmp_path/name)
    assert said.startswith('PhotoError it: ') and why in said and seconds < 3 and most < 100

def phone(**kw): return lambda: saved(Image.new('RGB', (12_000, 9000), (90, 120, 200)), **kw)

# MB while it is decoded: a JPEG at a fraction of its size, the others whole, and no second copy of them
LARGE = {'phone.jpg':(phone(kind='JPEG'), 100), 'progressive.jpg':(phone(kind='JPEG', progressive=True), 450), 'phone.png':(phone(kind='PNG', compress_level=1), 650),
    'clear.png':(lambda: png(9000, 9990, 8, 6), 650), 'phone.jp2':(phone(kind='JPEG2000'), 250), 'flat.avif':(lambda: saved(Image.new('RGB', (9000, 9990)), 'AVIF', speed=10), 1000),
    'float.tif':(lambda: saved(Image.new('F', (9000, 9990), .5), 'TIFF', compression='tiff_adobe_deflate'), 750)}

@pytest.mark.parametrize('name', LARGE)
def test_large_photo_takes_little_memory_and_keeps_less(name, tmp_path):
    make, limit = LARGE[name]
    (tmp_path/name).write_bytes(make())
    said, seconds, most, kept = cost(tmp_path/name)
    assert '1024' in said and 'Error' not in said and most < limit and kept < 100 and seconds < 30

def test_small_bmp_in_runs_opens(): assert opens(runs(40, 30)).size == (40, 30)

def test_hundred_scans_are_no_attack(): assert opens(many_scans(50))

def test_bytes_that_look_like_scans_are_none():
    "Behind the end of a photo, as in one with a film, or in its EXIF"
    assert opens(saved(scene(), 'JPEG')+b'\xff\xda'*5000)
    whole = saved(scene(), 'JPEG')
    assert opens(whole[:2]+b'\xff\xe5\x20\x02'+b'\xff\xda'*4096+whole[2:])

def test_marker_without_length_hides_no_scan():
    whole = saved(scene().convert('L'), 'JPEG', progressive=True)
    scan = whole[whole.rfind(b'\xff\xda'):][:10]
    with pytest.raises(PhotoError, match='more than 100 scans'): open_photo(whole[:-2]+(b'\xff\1'+scan)*400+whole[-2:])

def test_too_little_memory_is_said(monkeypatch):
    def load(*a): raise MemoryError
    monkeypatch.setattr('PIL.PngImagePlugin.PngImageFile.load', load)
    with pytest.raises(PhotoError, match='a.png: takes more memory'): open_photo(odd_photos()['plain.png'], 'a.png')

@pytest.mark.parametrize('data', [saved(scene(), 'JPEG')[:-500], saved(scene(), 'PNG')[:-500], b'no photo', png(9, 9, pixels=b'no zlib')])
def test_error_keeps_no_photo(data):
    try: open_photo(data)
    except PhotoError as e: error = e
    frame = error.__traceback__.tb_next
    assert frame and error.__context__ is None and error.__cause__ is None
    while frame:
        kept = frame.tb_frame.f_locals.values()
        assert not [o for o in kept if isinstance(o, (bytes, io.IOBase, Image.Image))]
        frame = frame.tb_next

def test_photo_of_200_megapixels_is_to_be_saved_smaller():
    whole = bytearray(saved(scene(), 'JPEG'))
    at = whole.index(b'\xff\xc0')+5
    whole[at:at+4] = struct.pack('>HH', 12_240, 16_320)
    said = '16,320 x 12,240 pixels; at most 128,000,000 are opened here; save it smaller first'
    with pytest.raises(PhotoError, match=said): open_photo(bytes(whole))
    with pytest.raises(PhotoError, match='at most 128,000,000 are opened here; save it smaller'): open_photo(png(16_320, 12_240, pixels=b''))

def test_limits_let_a_phone_through(): assert 12_000*9000 < max_pixels
