"Files of every kind that a browser opens, with what makes each of them odd; all show the same drawn scene."
import functools, io, random, struct, zlib
import numpy as np
from PIL import Image
from badphotos import chunk

def scene(width=160, height=120):
    "Something different in each quarter: brick, leaves, sky, and a lamp in the dark"
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    a = np.empty((height, width, 3))
    a[:] = np.stack([160+40*x, 90+40*y, 60+20*x], -1)
    left, low = x < .5, y > .5
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
    at, table, body = 132+12*len(tags), b'', b''
    for name, value in tags.items():
        table += name.encode()+struct.pack('>II', at+len(body), len(value))
        body += value+bytes(-len(value) % 4)
    head = struct.pack('>I4xI', at+len(body), 0x02400000)+(b'prtr' if space == b'CMYK' else b'mntr')+space+pcs+bytes(12)+b'acsp'+bytes(28)+fixed(.9642, 1, .8249)+bytes(48)
    return head+struct.pack('>I', len(tags))+table+body

def curves(g): return {f'{o}TRC': gamma(g) for o in 'rgb'}
P3 = profile(b'RGB ', rXYZ=xyz(.51512, .2412, -.00105), gXYZ=xyz(.29198, .69225, .04189), bXYZ=xyz(.1571, .06657, .78407), **curves(2.2))
SRGB_COLOURS = dict(rXYZ=xyz(.43607, .22249, .01392), gXYZ=xyz(.38515, .71687, .09708), bXYZ=xyz(.14307, .06061, .7141))
SWAPPED = profile(b'RGB ', rXYZ=SRGB_COLOURS['gXYZ'], gXYZ=SRGB_COLOURS['rXYZ'], bXYZ=SRGB_COLOURS['bXYZ'], **curves(2.2)) # red is green
BRIGHT_GREY = profile(b'GRAY', kTRC=gamma(1.))

def press():
    "A CMYK profile with a small table of what each pair of inks looks like"
    lab = []
    for i in range(16):
        c, m, y, k = (i >> s & 1 for s in (3, 2, 1, 0))
        ink = 1-k
        lab += [255*ink*(1-.3*c)*(1-.4*m)*(1-.05*y), 128+ink*(-40*c+70*m-5*y), 128+ink*(-45*c-5*m+90*y)]
    straight, unit = bytes(range(256)), fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table = b'mft1'+bytes(4)+bytes([4, 3, 2, 0])+unit+4*straight+bytes(round(o) for o in lab)+3*straight
    return profile(b'CMYK', b'Lab ', A2B0=table, A2B1=table, A2B2=table)

# ---- chunks of a PNG

def before_pixels(png, *chunks): return png[:33]+b''.join(chunks)+png[33:]
def after_pixels(png, *chunks): return png[:-12]+b''.join(chunks)+png[-12:]

def wrong_sum(data, kind):
    "A PNG in which the checksum of a chunk is wrong"
    at, out = data.index(kind), bytearray(data)
    out[at+4+int.from_bytes(data[at-4:at], 'big')] ^= 1
    return bytes(out)

def packed_text(n): return chunk(b'zTXt', b'Prompt\0\0'+zlib.compress(random.Random(0).randbytes(n//64)*64))
def gama(value): return chunk(b'gAMA', struct.pack('>I', round(value*1e5)))
def chrm(*values): return chunk(b'cHRM', struct.pack('>8I', *(round(o*1e5) for o in values)))
P3_SCREEN = .3127, .329, .68, .32, .265, .69, .15, .06

def png16(a, colour):
    "A PNG of 16 bits"
    height, width = a.shape[:2]
    rows = b''.join(b'\0'+o.astype('>u2').tobytes() for o in a)
    return b'\x89PNG\r\n\x1a\n'+chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 16, colour, 0, 0, 0))+chunk(b'IDAT', zlib.compress(rows))+chunk(b'IEND', b'')

# ---- all of them

def odd_jpegs(img):
    best = dict(quality=95, subsampling=0)
    jpeg = functools.partial(saved, img, 'JPEG', **best)
    out = {'plain.jpg':jpeg(), 'progressive.jpg':jpeg(progressive=True), 'grey.jpg':saved(img.convert('L'), 'JPEG', quality=95), 'press.jpg':saved(img.convert('CMYK'), 'JPEG', quality=95)}
    out |= {'p3.jpg':jpeg(icc_profile=P3), 'swapped.jpg':jpeg(icc_profile=SWAPPED), 'broken_profile.jpg':jpeg(icc_profile=b'garbage'), 'profile_of_grey.jpg':jpeg(icc_profile=BRIGHT_GREY)}
    out |= {'bright_grey.jpg':saved(img.convert('L'), 'JPEG', quality=95, icc_profile=BRIGHT_GREY), 'grey_in_p3.jpg':saved(img.convert('L'), 'JPEG', quality=95, icc_profile=P3)}
    out |= {'press_profile.jpg':saved(img.convert('CMYK'), 'JPEG', quality=95, icc_profile=press()), 'press_p3.jpg':saved(img.convert('CMYK'), 'JPEG', quality=95, icc_profile=P3)}
    out |= {f'exif{n}.jpg':jpeg(exif=exif(n)) for n in (2, 3, 5, 6)} | {'xmp6.jpg':jpeg(xmp=XMP), 'exif1_xmp6.jpg':jpeg(exif=exif(1), xmp=XMP), 'exif3_xmp6.jpg':jpeg(exif=exif(3), xmp=XMP)}
    return out | {'no_end.jpg':jpeg()[:-2], 'large.jpg':saved(img.resize((4000, 3000)), 'JPEG'), 'long.jpg':saved(img.resize((9000, 300)), 'JPEG')}

def odd_pngs(img):
    png, clear = saved(img, 'PNG'), img.convert('RGBA')
    clear.putalpha(Image.linear_gradient('L').resize(img.size))
    out = {'plain.png':png, 'clear.png':saved(clear, 'PNG'), 'clear_grey.png':saved(clear.convert('LA'), 'PNG'), 'clear_p3.png':saved(clear, 'PNG', icc_profile=P3)}
    out |= {'palette.png':saved(img.quantize(100), 'PNG'), 'hole.png':saved(img.quantize(100), 'PNG', transparency=7), 'bit.png':saved(img.convert('1'), 'PNG')}
    a, grey = np.asarray(img).astype('u2'), np.asarray(img.convert('L')).astype('u2')
    out |= {'deep.png':png16(257*a, 2), 'deep_grey.png':png16(257*grey, 0), 'dark.png':png16(grey, 0), 'palette_p3.png':saved(img.quantize(100), 'PNG', icc_profile=P3)}
    out |= {'text.png':before_pixels(png, packed_text(2_000_000)), 'big_profile.png':saved(img, 'PNG', icc_profile=SWAPPED+random.Random(0).randbytes(2_000_000))}
    turned = saved(img, 'PNG', exif=exif(6))
    out |= {'exif6.png':turned, 'exif6_wrong_sum.png':wrong_sum(turned, b'eXIf'), 'exif6_last.png':after_pixels(png, chunk(b'eXIf', exif(6).tobytes()[6:]))}
    notes = {'text':chunk(b'tEXt', b'Comment\0hello'), 'last_text':chunk(b'tEXt', b'Comment\0hello'), 'density':chunk(b'pHYs', bytes(9)), 'gamma':gama(1), 'time':chunk(b'tIME', bytes(7))}
    for name, note in notes.items():
        put = after_pixels if name == 'last_text' else before_pixels
        out[f'{name}_wrong_sum.png'] = wrong_sum(put(png, note), note[4:8])
    out |= {'p3.png':saved(img, 'PNG', icc_profile=P3), 'p3_wrong_sum.png':wrong_sum(saved(img, 'PNG', icc_profile=P3), b'iCCP')}
    out |= {'gamma1.png':before_pixels(png, gama(1)), 'gamma_grey.png':before_pixels(saved(img.convert('L'), 'PNG'), gama(1)), 'screen.png':before_pixels(png, chrm(*P3_SCREEN))}
    out |= {'gamma_screen.png':before_pixels(png, gama(.45455), chrm(*P3_SCREEN)), 'srgb_gamma1.png':before_pixels(png, chunk(b'sRGB', b'\0'), gama(1))}
    numbers = {'p3':(12, 13, 0, 1), 'bt2020':(9, 13, 0, 1), 'linear':(1, 8, 0, 1), 'narrow':(12, 13, 0, 0), 'unknown':(2, 2, 0, 1), 'tv':(1, 1, 0, 1)}
    return out | {f'number_{name}.png':before_pixels(saved(img, 'PNG', icc_profile=SWAPPED), chunk(b'cICP', bytes(o))) for name, o in numbers.items()}

def odd_others(img):
    other = img.transpose(Image.Transpose.ROTATE_180)
    out = {f'moves.{kind.lower()}':saved(img, kind, save_all=True, append_images=[other]*3, duration=100, **kw)
           for kind, kw in (('GIF', {}), ('PNG', {}), ('WEBP', dict(lossless=True)), ('AVIF', dict(quality=95, range='limited')))} # Chromium takes all moving AVIFs for limited ones
    out |= {'plain.gif':saved(img, 'GIF'), 'hole.gif':saved(img.quantize(100), 'GIF', transparency=7), 'plain.bmp':saved(img, 'BMP'), 'clear.bmp':saved(img.convert('RGBA'), 'BMP')}
    out |= {'plain.webp':saved(img, 'WEBP', quality=95), 'p3.webp':saved(img, 'WEBP', lossless=True, icc_profile=P3), 'exif6.webp':saved(img, 'WEBP', lossless=True, exif=exif(6))}
    avif = saved(img, 'AVIF', quality=95)
    at = avif.index(b'colrnclx')+8
    out |= {'plain.avif':avif, 'exif6.avif':saved(img, 'AVIF', quality=95, exif=exif(6)), 'p3.avif':saved(img, 'AVIF', quality=95, icc_profile=P3)}
    for name, (colours, curve) in dict(p3=(12, 13), tv=(1, 1), unknown=(2, 2)).items(): out[f'number_{name}.avif'] = avif[:at]+bytes([0, colours, 0, curve])+avif[at+4:]
    icon = img.resize((64, 64))
    out |= {'plain.ico':saved(icon, 'ICO', sizes=[(64, 64)]), 'bitmap.ico':saved(icon, 'ICO', sizes=[(16, 16), (64, 64)], bitmap_format='bmp')}
    return out | {'plain.tif':saved(img, 'TIFF'), 'plain.jp2':saved(img, 'JPEG2000'), 'float.tif':saved(Image.fromarray(np.asarray(img.convert('L')).astype('float32')/255), 'TIFF')}

@functools.cache
def odd_photos():
    "Name -> bytes"
    img = scene()
    return odd_jpegs(img) | odd_pngs(img) | odd_others(img)
