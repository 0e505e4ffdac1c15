"Files that are no photos, whatever they are called."
import io, zlib
from PIL import Image

def picture(kind, size=(400,300), colour='red', **kw):
    "Bytes of a picture in one colour"
    out = io.BytesIO()
    Image.new('RGB', size, colour).save(out, kind, **kw)
    return out.getvalue()

def claims(width, height):
    "A small PNG whose header promises `width` x `height` pixels"
    png = bytearray(picture('PNG', (8,8)))
    png[16:24] = width.to_bytes(4, 'big')+height.to_bytes(4, 'big')
    png[29:33] = zlib.crc32(bytes(png[12:29])).to_bytes(4, 'big')
    return bytes(png)

_jpeg = picture('JPEG')
BAD = {'letter.jpg':b'Dear Sir or Madam', 'page.png':b'<!DOCTYPE html><html><script>document.title="taken over"</script>', 'empty.jpg':b'',
       'cut.jpg':_jpeg[:len(_jpeg)//2], 'cut.png':picture('PNG')[:200], 'huge.png':claims(50_000, 50_000),
       'drawing.svg':b'<svg xmlns="http://www.w3.org/2000/svg"><script>document.title="taken over"</script></svg>',
       '<img src=x onerror=document.title=1>.jpg':b'a name of markup'}
