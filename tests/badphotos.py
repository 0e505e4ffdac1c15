"Files that are no photos, whatever they are called, and photos of rare kinds."
import io, random, struct, zlib
from PIL import Image

def picture(kind, size=(400,300), colour='red', mode='RGB', **kw):
    "Bytes of a picture in one colour"
    out = io.BytesIO()
    Image.new('RGB', size, colour).convert(mode).save(out, kind, **kw)
    return out.getvalue()

def noise(kind, size=(60,40), mode='RGB', seed=0, **kw):
    "Bytes of a picture with something in every pixel"
    n = len(Image.new(mode, size).tobytes())
    out = io.BytesIO()
    Image.frombytes(mode, size, random.Random(seed).randbytes(n)).save(out, kind, **kw)
    return out.getvalue()

def chunk(kind, data):
    "A chunk of a PNG"
    return struct.pack('>I', len(data))+kind+data+struct.pack('>I', zlib.crc32(kind+data))

def png(width, height, depth=8, colour=2, *more, pixels=None):
    "A PNG put together by hand: RGB by default, black, `more` chunks before its pixels"
    row_bytes = (width*depth*{0:1, 2:3, 3:1, 4:2, 6:4}[colour]+7)//8
    if pixels is None: pixels = bytes(row_bytes+1)*height
    header = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, 0))
    body = chunk(b'IDAT', zlib.compress(pixels))
    return b'\x89PNG\r\n\x1a\n'+header+b''.join(more)+body+chunk(b'IEND', b'')

def claims(width, height):
    "A small PNG whose header promises `width` x `height` pixels"
    return png(width, height, pixels=bytes(99))

def tags(n, size, magic=b'II*\0'):
    "A TIFF of `n` tags that all point at the same `size` bytes"
    ifd = struct.pack('<H', n)+b''.join(struct.pack('<HHII', i+1, 1, size, 8) for i in range(n))+struct.pack('<I', 0)
    return magic+struct.pack('<I', 8+size)+bytes(size)+ifd

def gif(frames):
    "A GIF of many tiny frames"
    frame = b'\x21\xf9\x04\x04\0\0\0\0'+b'\x2c\0\0\0\0\x02\0\x02\0\0'+b'\x02\x03\x44\x02\x05\0'
    return b'GIF89a\x02\0\x02\0\x80\0\0\xff\0\0\0\0\xff'+frame*frames+b';'

_jpeg = picture('JPEG')
_markup = b'<script>document.title="taken over"</script>'
_bomb = zlib.compress(bytes(60_000_000), 9)
_bitmap_head = struct.pack('<IHHIIiiHHIIiiII', 99, 0, 0, 54, 40, 2**31-1, 2**31-1, 1, 24, 0, 0, 0, 0, 0, 0)

BAD = {
    'letter.jpg': b'Dear Sir or Madam',
    'page.png': b'<!DOCTYPE html><html>'+_markup,
    'empty.jpg': b'',
    'cut.jpg': _jpeg[:len(_jpeg)//2],
    'cut.png': picture('PNG')[:200],
    'huge.png': claims(50_000, 50_000),
    'drawing.svg': b'<svg xmlns="http://www.w3.org/2000/svg">'+_markup+b'</svg>',
    '<img src=x onerror=document.title=1>.jpg': b'a name of markup'}

MORE_BAD = {
    'print.jpg': b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n0 1 2 moveto showpage\n',
    'paper.jpg': b'%PDF-1.7\n1 0 obj\n<<>>\n',
    'packed.jpg': b'PK\x03\x04\x14\0\0\0\x08\0',
    'program.jpg': b'\x7fELF\x02\x01\x01',
    'script.jpg': b'#!/bin/sh\nrm -rf /\n',
    'zeros.jpg': bytes(5000),
    'film.jpg': b'\0\0\0\x18ftypisom\0\0\x02\0isomiso2mp41'+bytes(99),
    'dump.jpg': b'\xd7\xcd\xc6\x9a'+bytes(99),
    'nothing.png': png(0, 9),
    'text.png': png(9, 9, 8, 2, *[chunk(b'zTXt', b'Comment\0\0'+_bomb)]*4),
    'itxt.png': png(9, 9, 8, 2, *[chunk(b'iTXt', b'Comment\0\1\0\0\0'+_bomb)]*4),
    'tags.tif': tags(65_000, 1_000_000),
    'wide.bmp': b'BM'+_bitmap_head+bytes(99)}
