"Files of every kind that a browser opens, with what makes each of them odd; all show the same drawn scene."
import functools, io, random, struct, zlib
import numpy as np
from PIL import Image
from badphotos import chunk, png

def scene(width=160, height=120):
    "Something different in each quarter: brick, leaves, sky, and a lamp in the dark"
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    a = np.stack([160+40*x, 90+40*y, 60+20*x], -1)
    left = x < .5
    low = y > .5
    a[~left & ~low] = np.stack([40+50*y, 160+80*x, 40+20*y], -1)[~left & ~low]
    a[left & low] = np.stack([90+60*x, 150+40*y, 235-30*x], -1)[left & low]
    a[~left & low] = 30
    a[(x-.75)**2+(y-.75)**2 < .02] = 250, 230, 120
    return Image.fromarray(a.round().astype('uint8'))

def saved(img, kind, **kw):
    out = io.BytesIO()
    img.save(out, kind, **kw)
    return out.getvalue()

def exif(n):
    "EXIF that says how the camera was held"
    out = Image.Exif()
    out[274] = n
    return out

XMP = b'''<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'''

# ---- colour profiles

def fixed(*values): return struct.pack(f'>{len(values)}i', *(round(o*65536) for o in values))
def xyz(*values): return b'XYZ '+bytes(4)+fixed(*values)
def gamma(g): return b'curv'+bytes(4)+struct.pack('>IHH', 1, round(g*256), 0)

def profile(space, pcs=b'XYZ ', **tags):
    "An ICC profile of version 2, put together by hand"
    tags = dict(wtpt=xyz(.9642, 1, .8249), **tags)
    at = 132+12*len(tags)
    table = b''
    body = b''
    for name, value in tags.items():
        table += name.encode()+struct.pack('>II', at+len(body), len(value))
        body += value+bytes(-len(value) % 4)
    device = b'prtr' if space == b'CMYK' else b'mntr'
    head = struct.pack('>I4xI', at+len(body), 0x02400000)+device+space+pcs+bytes(12)+b'acsp'+bytes(28)
    head += fixed(.9642, 1, .8249)+bytes(48)
    return head+struct.pack('>I', len(tags))+table+body

def curves(g): return {f'{o}TRC': gamma(g) for o in 'rgb'}
P3 = profile(b'RGB ', rXYZ=xyz(.51512, .2412, -.00105), gXYZ=xyz(.29198, .69225, .04189), bXYZ=xyz(.1571, .06657, .78407), **curves(2.2))
SRGB_COLOURS = dict(rXYZ=xyz(.43607, .22249, .01392), gXYZ=xyz(.38515, .71687, .09708), bXYZ=xyz(.14307, .06061, .7141))
SWAPPED = profile(b'RGB ', rXYZ=SRGB_COLOURS['gXYZ'], gXYZ=SRGB_COLOURS['rXYZ'], bXYZ=SRGB_COLOURS['bXYZ'],
    **curves(2.2)) # Red is green
BRIGHT_GREY = profile(b'GRAY', kTRC=gamma(1.))

def press():
    "A CMYK profile with a small table of what each pair of inks looks like"
    lab = []
    for i in range(16):
        c, m, y, k = (i >> s & 1 for s in (3, 2, 1, 0))
        ink = 1-k
        lab += [255*ink*(1-.3*c)*(1-.4*m)*(1-.05*y), 128+ink*(-40*c+70*m-5*y), 128+ink*(-45*c-5*m+90*y)]
    straight = bytes(range(256))
    unit = fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table = b'mft1'+bytes(4)+bytes([4, 3, 2, 0])+unit+4*straight+bytes(round(o) for o in lab)+3*straight
    return profile(b'CMYK', b'Lab ', A2B0=table, A2B1=table, A2B2=table)

# ---- chunks of a PNG

def before_pixels(data, *chunks): return data[:33]+b''.join(chunks)+data[33:]
def after_pixels(data, *chunks): return data[:-12]+b''.join(chunks)+data[-12:]

def wrong_sum(data, kind):
    "A PNG in which the checksum of a chunk is wrong"
    at = data.index(kind)
    out = bytearray(data)
    out[at+4+int.from_bytes(data[at-4:at], 'big')] ^= 1
    return bytes(out)

def packed_text(n): return chunk(b'zTXt', b'Prompt\0\0'+zlib.compress(random.Random(0).randbytes(n//64)*64))
def gama(value): return chunk(b'gAMA', struct.pack('>I', round(value*1e5)))
def chrm(*values): return chunk(b'cHRM', struct.pack('>8I', *(round(o*1e5) for o in values)))
P3_SCREEN = .3127, .329, .68, .32, .265, .69, .15, .06

def png16(a, colour):
    "A PNG of 16 bits"
    height, width = a.shape[:2]
    return png(width, height, 16, colour, pixels=b''.join(b'\0'+o.astype('>u2').tobytes() for o in a))

# ---- all of them

def odd_jpegs(img):
    "JPEGs: colours, profiles, notes on how the camera was held, sizes"
    jpeg = functools.partial(saved, img, 'JPEG', quality=95, subsampling=0)
    profiles = dict(p3=P3, swapped=SWAPPED, broken_profile=b'garbage', profile_of_grey=BRIGHT_GREY)
    greys = dict(grey=None, bright_grey=BRIGHT_GREY, grey_in_p3=P3)
    inks = dict(press=None, press_profile=press(), press_p3=P3)
    out = {f'{name}.jpg': jpeg(icc_profile=o) for name, o in profiles.items()}
    for mode, named in dict(L=greys, CMYK=inks).items():
        for name, o in named.items(): out[f'{name}.jpg'] = saved(img.convert(mode), 'JPEG', quality=95, icc_profile=o)
    out |= {f'exif{n}.jpg': jpeg(exif=exif(n)) for n in (2, 3, 5, 6)}
    out |= {f'exif{n}_xmp6.jpg': jpeg(exif=exif(n), xmp=XMP) for n in (1, 3)}
    return out | {
        'plain.jpg': jpeg(),
        'progressive.jpg': jpeg(progressive=True),
        'no_end.jpg': jpeg()[:-2],
        'xmp6.jpg': jpeg(xmp=XMP),
        'large.jpg': saved(img.resize((4000, 3000)), 'JPEG'),
        'long.jpg': saved(img.resize((9000, 300)), 'JPEG')}

def clear_pngs(img):
    "PNGs that are transparent in part"
    clear = img.convert('RGBA')
    clear.putalpha(Image.linear_gradient('L').resize(img.size))
    return {
        'clear.png': saved(clear, 'PNG'),
        'clear_grey.png': saved(clear.convert('LA'), 'PNG'),
        'clear_p3.png': saved(clear, 'PNG', icc_profile=P3),
        'hole.png': saved(img.quantize(100), 'PNG', transparency=7)}

def deep_pngs(img):
    "PNGs of one bit, of a palette, and of 16 bits"
    a = np.asarray(img).astype('u2')
    grey = np.asarray(img.convert('L')).astype('u2')
    return {
        'bit.png': saved(img.convert('1'), 'PNG'),
        'palette.png': saved(img.quantize(100), 'PNG'),
        'palette_p3.png': saved(img.quantize(100), 'PNG', icc_profile=P3),
        'deep.png': png16(257*a, 2),
        'deep_grey.png': png16(257*grey, 0),
        'dark.png': png16(grey, 0)}

def noted_pngs(img):
    "PNGs with something beside the pixels, whole or with a wrong checksum"
    plain = saved(img, 'PNG')
    turned = saved(img, 'PNG', exif=exif(6))
    text = chunk(b'tEXt', b'Comment\0hello')
    notes = dict(text=text, density=chunk(b'pHYs', bytes(9)), gamma=gama(1), time=chunk(b'tIME', bytes(7)))
    out = {f'{name}_wrong_sum.png': wrong_sum(before_pixels(plain, note), note[4:8]) for name, note in notes.items()}
    return out | {
        'last_text_wrong_sum.png': wrong_sum(after_pixels(plain, text), b'tEXt'),
        'text.png': before_pixels(plain, packed_text(2_000_000)),
        'exif6.png': turned,
        'exif6_wrong_sum.png': wrong_sum(turned, b'eXIf'),
        'exif6_last.png': after_pixels(plain, chunk(b'eXIf', exif(6).tobytes()[6:]))}

def coloured_pngs(img):
    "PNGs that say in one of four ways what their colours are"
    plain = saved(img, 'PNG')
    p3 = saved(img, 'PNG', icc_profile=P3)
    swapped = saved(img, 'PNG', icc_profile=SWAPPED)
    numbers = dict(p3=(12, 13, 0, 1), bt2020=(9, 13, 0, 1), linear=(1, 8, 0, 1), narrow=(12, 13, 0, 0),
        unknown=(2, 2, 0, 1), tv=(1, 1, 0, 1))
    out = {f'number_{name}.png': before_pixels(swapped, chunk(b'cICP', bytes(o))) for name, o in numbers.items()}
    return out | {
        'p3.png': p3,
        'p3_wrong_sum.png': wrong_sum(p3, b'iCCP'),
        'big_profile.png': saved(img, 'PNG', icc_profile=SWAPPED+random.Random(0).randbytes(2_000_000)),
        'gamma1.png': before_pixels(plain, gama(1)),
        'gamma_grey.png': before_pixels(saved(img.convert('L'), 'PNG'), gama(1)),
        'screen.png': before_pixels(plain, chrm(*P3_SCREEN)),
        'gamma_screen.png': before_pixels(plain, gama(.45455), chrm(*P3_SCREEN)),
        'srgb_gamma1.png': before_pixels(plain, chunk(b'sRGB', b'\0'), gama(1))}

def moving(img):
    "Four frames, of which the first is `img`; the AVIF has the time in its header, which no test looks at"
    frames = dict(save_all=True, append_images=[img.transpose(Image.Transpose.ROTATE_180)]*3, duration=100)
    kinds = dict(gif={}, png={}, webp=dict(lossless=True),
        avif=dict(quality=95, range='limited')) # Chromium takes all moving AVIFs for limited ones
    return {f'moves.{kind}': saved(img, kind.upper(), **kw, **frames) for kind, kw in kinds.items()}

def avifs(img):
    avif = saved(img, 'AVIF', quality=95)
    at = avif.index(b'colrnclx')+8
    numbers = dict(p3=(12, 13), tv=(1, 1), unknown=(2, 2))
    out = {f'number_{name}.avif': avif[:at]+bytes([0, colours, 0, curve])+avif[at+4:] for name, (colours, curve) in numbers.items()}
    return out | {
        'plain.avif': avif,
        'exif6.avif': saved(img, 'AVIF', quality=95, exif=exif(6)),
        'xmp6.avif': saved(img, 'AVIF', quality=95, xmp=XMP),
        'p3.avif': saved(img, 'AVIF', quality=95, icc_profile=P3)}

def other_formats(img):
    icon = img.resize((64, 64))
    grey = np.asarray(img.convert('L')).astype('float32')
    kinds = dict(gif='GIF', bmp='BMP', tif='TIFF', jp2='JPEG2000')
    return {f'plain.{end}': saved(img, kind) for end, kind in kinds.items()} | {
        'hole.gif': saved(img.quantize(100), 'GIF', transparency=7),
        'clear.bmp': saved(img.convert('RGBA'), 'BMP'),
        'plain.webp': saved(img, 'WEBP', quality=95),
        'xmp6.webp': saved(img, 'WEBP', lossless=True, xmp=XMP),
        'p3.webp': saved(img, 'WEBP', lossless=True, icc_profile=P3),
        'exif6.webp': saved(img, 'WEBP', lossless=True, exif=exif(6)),
        'plain.ico': saved(icon, 'ICO', sizes=[(64, 64)]),
        'bitmap.ico': saved(icon, 'ICO', sizes=[(16, 16), (64, 64)], bitmap_format='bmp'),
        'float.tif': saved(Image.fromarray(grey/255), 'TIFF')}

@functools.cache
def odd_photos():
    "Name -> bytes"
    img = scene()
    out = {'plain.png': saved(img, 'PNG')}
    for make in (odd_jpegs, clear_pngs, deep_pngs, noted_pngs, coloured_pngs, moving, avifs, other_formats): out |= make(img)
    return out
