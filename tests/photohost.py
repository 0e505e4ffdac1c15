"An internet on loopback: photos, searches of the shape that Bing and Openverse have, and all that goes wrong with them."
import asyncio, contextlib, functools, html, http.client, io, itertools, json, math, re, socket, threading, time, urllib.request, zlib
from collections import Counter, defaultdict
from email.utils import formatdate
from urllib.parse import parse_qs, quote, unquote, urlsplit
import numpy as np
from PIL import Image
from badphotos import claims, noise, picture

# ---- photos

@functools.lru_cache(64)
def _base(i, kb):
    "JPEG of about `kb` KB, with the two bits a pixel that photos on the web have"
    rng = np.random.default_rng(i)
    side = math.sqrt(kb*4096)
    for _ in range(3):
        w = max(int(side*1.15), 16)
        h = max(int(side/1.15), 16)
        small = Image.fromarray(rng.integers(0, 256, (h//16+2, w//16+2, 3), dtype=np.uint8))
        smooth = np.asarray(small.resize((w, h), Image.Resampling.BICUBIC), dtype=np.float32)
        grain = rng.normal(0, 9, (h, w, 1)).astype(np.float32)
        out = io.BytesIO()
        Image.fromarray((smooth+grain).clip(0, 255).astype(np.uint8)).save(out, 'JPEG', quality=85)
        data = out.getvalue()
        side *= math.sqrt(max(kb, 1)*1024/len(data))
    return data

def photo(n=0, kb=2):
    "JPEG number `n`, `kb` KB or so; a comment in it makes its bytes its own"
    base = _base(n%4, kb)
    note = b'photo %d' % n
    return base[:2]+b'\xff\xfe'+(len(note)+2).to_bytes(2, 'big')+note+base[2:]

def dishes(path, n=5):
    "A folder with `n` photos of cups and as many of plates"
    for i, label in enumerate(('cups', 'plates')):
        (path/label).mkdir(parents=True)
        for j in range(n): (path/label/f'{j}.jpg').write_bytes(photo(100*i+j))
    return path

upside = Image.Exif()
upside[274] = 6

pictures = dict(
    rotated=lambda: noise('JPEG', exif=upside),
    deep=lambda: noise('PNG', mode='I;16'),
    moving=lambda: noise('GIF', save_all=True, append_images=[Image.new('RGB', (60, 40))], duration=100),
    glass=lambda: noise('PNG', mode='RGBA'),
    cmyk=lambda: noise('JPEG', mode='CMYK'),
    webp=lambda: noise('WEBP'),
    large=lambda: picture('JPEG', (5000, 3000), 'teal'),
    claims=lambda: claims(50_000, 50_000),
    same=lambda: photo(10**6),
    half=lambda: photo()[:700],
    empty=lambda: b'',
    svg=lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    html=lambda: b'<!DOCTYPE html><html><body>You need an account</body></html>')
pictures = {k: functools.cache(f) for k,f in pictures.items()}

@functools.lru_cache(1)
def bomb(mb=200):
    "`mb` MB of a photo and zeros, in under 1 MB of gzip"
    z = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b''.join([z.compress(photo()), *(z.compress(bytes(2**20)) for _ in range(mb)), z.flush()])

# ---- what a path answers: the first folder says what, the number in the last one which photo

class Answers:
    "Functions of an `Ask`"
    async def ok(ask): await ask.send(ask.photo())
    async def octet(ask): await ask.send(ask.photo(), kind='application/octet-stream')
    async def flaky(ask):
        "Wrong `bad` times, then a photo"
        if ask.times<=int(ask.q.get('bad', 1)): await ask.send(b'try again', int(ask.q.get('status', 500)), 'text/plain')
        else: await ask.send(ask.photo())
    async def busy(ask):
        "Busy, once or `bad` times: come back `after` so many seconds, said as a number or (`date=1`) as a date"
        if ask.times>int(ask.q.get('bad', 1)): return await ask.send(ask.photo())
        after = ask.q.get('after', '1')
        if ask.q.get('date'): after = formatdate(math.ceil(time.time()+int(after)), usegmt=True)
        await ask.send(b'busy', int(ask.q.get('status', 429)), 'text/plain', **{'Retry-After': after})
    async def stall(ask): await ask.left()
    async def stallonce(ask):
        if ask.times==1: await ask.left()
        else: await ask.send(ask.photo())
    async def halfway(ask):
        "Half a photo, then nothing"
        await ask.head(length=len(ask.photo()))
        await ask.write(ask.photo()[:1000])
        await ask.left()
    async def trickle(ask):
        "A byte now and then, for ever"
        await ask.head(length=100_000)
        for b in ask.photo()*50:
            await ask.write(bytes([b]))
            await asyncio.sleep(.1)
    async def drip(ask):
        "The same with the head of the answer"
        await ask.write(b'HTTP/1.1 200 OK\r\nX-Wait: ')
        while True:
            await ask.write(b'.')
            await asyncio.sleep(.1)
    async def cut(ask):
        "The length of 9,999 bytes, and 300 of them"
        await ask.head(length=9999)
        await ask.write(ask.photo()[:300])
        ask.writer.close()
    async def short(ask):
        "A length that is too small, and all the bytes"
        await ask.head(length=700)
        await ask.write(ask.photo())
        ask.writer.close()
    async def closed(ask): ask.writer.close()
    async def loop(ask): await ask.redirect(f'/loop/{(ask.n+1)%2}.jpg')
    async def hops(ask):
        "`/hops/3/7.jpg` is three redirects away from photo 7"
        n = int(ask.path.split('/')[2])
        await ask.redirect(f'/hops/{n-1}/{ask.n}.jpg' if n>1 else f'/ok/{ask.n}.jpg')
    async def to(ask): await ask.redirect(ask.q['url'])
    async def huge(ask):
        "200 MB of a photo and noise, in chunks, or with `length=1` announced; never more than a chunk of it in memory"
        ask.writer.get_extra_info('socket').setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**16)
        chunk = bytes(2**16)
        chunks = 200*2**20//len(chunk)
        announced = ask.q.get('length')
        if announced: await ask.head(length=chunks*len(chunk))
        else: await ask.head(**{'Transfer-Encoding': 'chunked'})
        for data in [ask.photo(), *itertools.repeat(chunk, chunks)]:
            await ask.write(data if announced else b'%x\r\n%b\r\n' % (len(data), data))
        if not announced: await ask.write(b'0\r\n\r\n')
    async def gzip(ask): await ask.send(bomb(), **{'Content-Encoding':'gzip'})

# ---- searches: `host.found` is search words -> links; a list ends, a function of a number does not, a string is a page of its own

login = '<!DOCTYPE html><html><body>Please log in to the network of this hotel</body></html>'
def repeating(links): return lambda i: links[i%len(links)]

def entries(found, first, count):
    "Links number `first` to `first+count` of what was found, as dicts"
    some = [found(i) for i in range(first, first+count)] if callable(found) else found[first:first+count]
    return [dict(url=o) if isinstance(o, str) else o for o in some]

def iusc(o):
    "The element of Bing's page that stands for one photo"
    page = o.get('page') or o['url']+'.html'
    title = o.get('title', 'A title & more')
    m = dict(cid='25SQhm4X', purl=page, murl=o['url'], turl='', md5='', shkey='', t=title, mid='', desc='')
    text = html.escape(json.dumps(m, separators=(',',':'), ensure_ascii=False))
    return f'<li><div class="iuscp"><a class="iusc" style="height:160px" m="{text}" href="#"></a></div></li>'

async def bing(ask):
    "A page of Bing's image search, as bing_image_downloader 1.1.3 reads it"
    ask.host.bing_asked.append(ask.q)
    found = ask.host.words(ask.q.get('q', ''))
    first = int(ask.q.get('first', 0))
    if isinstance(found, str): return await ask.send(found.encode(), kind='text/html')
    some = entries(found, first, ask.host.per_page or min(int(ask.q.get('count', 35)), 150))
    text = '' if first else '<html>There are no results</html>'
    if some: text = f'<ul class="dgControl_list">{"".join(map(iusc, some))}<a class="iusc" m="{{cut off"></a></ul>'
    await ask.send(text.encode(), kind='text/html; charset=utf-8')

def work(o, i):
    "A result of Openverse, with those of its fields that are of use"
    fields = dict(title='Tree Bark Photo', creator='Tim Sullivan', license='by-sa', license_version='4.0')
    return dict(fields, foreign_landing_url=f'https://stocksnap.test/photo/{i}') | o

async def openverse(ask):
    "A page of Openverse: who has no key gets 20 works a page, 240 in all, 20 pages a minute"
    async def reply(body, status=200, **kw): await ask.send(json.dumps(body).encode(), status, 'application/json', **kw)
    host = ask.host
    page = int(ask.q.get('page', 1))
    size = int(ask.q.get('page_size', 20))
    most, seconds = host.rate
    host.searched[:] = [t for t in host.searched if t>time.monotonic()-seconds]
    if len(host.searched)>=most:
        wait = max(math.ceil(host.searched[0]+seconds-time.monotonic()), 1)
        return await reply(dict(detail='Request was throttled.'), 429, **{'Retry-After': wait})
    host.searched.append(time.monotonic())
    if size>20 or page*size>240: return await reply(dict(detail='Authentication credentials were not provided.'), 401)
    found = host.words(ask.q.get('q', ''))
    if isinstance(found, str): return await ask.send(found.encode(), kind='text/html')
    n = 240 if callable(found) else min(len(found), 240)
    first = (page-1)*size
    results = [work(o, i) for i,o in enumerate(entries(found, first, size), first)]
    await reply(dict(result_count=n, page_count=math.ceil(n/size), page_size=size, page=page, results=results))

async def told(ask):
    "What the host has counted, for one in a process of its own"
    h = ask.host
    counts = dict(asked=h.asked, sent=h.sent, most=h.most, most_a_port=h.most_a_port)
    await ask.send(json.dumps(counts).encode(), kind='application/json')

# ---- the host

class Ask:
    "A request, and what it takes to answer it"
    def __init__(self, host, port, line, reader, writer):
        self.host, self.port, self.reader, self.writer = host, port, reader, writer
        url = urlsplit(line.split()[1].decode('latin-1'))
        self.path = unquote(url.path)
        self.q = {k: v[-1] for k,v in parse_qs(url.query).items()}
        numbers = re.findall(r'\d+', self.path.split('/')[-1])
        self.n = int(numbers[-1]) if numbers else 0

    def photo(self): return self.host.photo(self.n)
    async def write(self, data):
        self.writer.write(data)
        self.host.sent[self.path] += len(data)
        await self.writer.drain()
    async def head(self, status=200, kind='image/jpeg', length=None, **headers):
        if length is not None: headers['Content-Length'] = length
        lines = [f'HTTP/1.1 {status} {http.client.responses.get(status, "")}', f'Content-Type: {kind}']
        lines += [f'{k}: {v}' for k,v in headers.items()]
        self.writer.write('\r\n'.join([*lines, '', '']).encode())
    async def send(self, body, status=200, kind='image/jpeg', **headers):
        await self.head(status, kind, len(body), **headers)
        await self.write(body)
    async def redirect(self, url): await self.send(b'', 302, Location=quote(url, safe=":/?&=%[]@"))
    async def left(self):
        await self.reader.read(1)
        self.writer.close()

class PhotoHost:
    "`with PhotoHost(ports=2) as host: get(host.url('/ok/3.jpg', port=1))`"
    def __init__(self,
        ports=1,           # Ports to listen on; `.netlocs` names them
        latency=0,         # Seconds before each answer
        kb=(2,2),          # Sizes of the photos, from and to
    ):
        self.latency = latency
        self.kb = kb
        self.n_ports = ports
        self.found = {}                # Search words -> links
        self.per_page = None           # Links a page, as asked for by default
        self.rate = 20,60              # Searches, and in how many seconds
        self.searched = []             # When Openverse was asked
        self.bing_asked = []           # What Bing was asked for: the parameters of each page
        self.asked = Counter()         # By path, without the query
        self.sent = Counter()
        self.times = defaultdict(list)
        self.now = Counter()           # Requests at once, by port
        self.most = 0
        self.most_a_port = 0

    def url(self, path, port=0): return f'http://{self.netlocs[port]}{path}'
    @property
    def netlocs(self): return [f'127.0.0.1:{p}' for p in self.ports]
    @property
    def total(self): return sum(self.asked.values())
    def photo(self, n): return photo(n, self.kb[0]+(self.kb[1]-self.kb[0])*(n*7%16)//15)
    def words(self, q): return self.found.get(q, [])

    async def _answer(self, ask):
        if ask.path=='/told': return await told(ask)
        self.asked[ask.path] += 1
        self.times[ask.path].append(time.monotonic())
        ask.times = self.asked[ask.path]
        self.now[ask.port] += 1
        self.most = max(self.most, self.now.total())
        self.most_a_port = max(self.most_a_port, self.now[ask.port])
        try:
            await asyncio.sleep(self.latency)
            kind = ask.path.split('/')[1]
            if ask.path=='/images/async': await bing(ask)
            elif ask.path=='/v1/images/': await openverse(ask)
            elif hasattr(Answers, kind): await getattr(Answers, kind)(ask)
            elif kind in pictures: await ask.send(pictures[kind](), kind='text/html' if kind=='html' else 'image/jpeg')
            else: await ask.send(b'sorry', int(kind) if kind.isdigit() else 404, 'text/plain')
        finally: self.now[ask.port] -= 1

    async def _serve(self, port, reader, writer):
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b'\r\n\r\n')
                await self._answer(Ask(self, port, head.split(b'\r\n')[0], reader, writer))
                if b'connection: close' in head.lower(): break
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError): pass
        finally: writer.close()

    async def _run(self, started):
        self.loop = asyncio.get_running_loop()
        self.end = asyncio.Event()
        self.ports = []
        servers = []
        for i in range(self.n_ports):
            servers.append(await asyncio.start_server(functools.partial(self._serve, i), '127.0.0.1', 0, backlog=200))
            self.ports.append(servers[-1].sockets[0].getsockname()[1])
        started.set()
        await self.end.wait()
        for o in servers: o.close()

    def __enter__(self):
        started = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run(started)), daemon=True)
        self.thread.start()
        assert started.wait(10), 'the host of photos did not start'
        return self
    def __exit__(self, *args):
        self.loop.call_soon_threadsafe(self.end.set)
        self.thread.join(10)

def urllib_connects(connect):
    "Let urllib, and with it bing_image_downloader, reach every host by `connect`"
    class Handler(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
        def https_open(self, request): return self.do_open(connect, request)
        http_open = https_open
    urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({}), Handler))

@contextlib.contextmanager
def urllib_goes_to(netloc):
    "Let urllib find every host at `netloc`"
    urllib_connects(lambda host, timeout=5, **kwargs: http.client.HTTPConnection(netloc, timeout=timeout))
    try: yield
    finally: urllib.request.install_opener(None)
