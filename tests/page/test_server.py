"The guarded server: who may come in, what may be had, and what a visitor sees when it goes wrong."
import asyncio, base64, gzip, http.client, json, os, re, socket, struct, sys, time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
import psutil, pytest
if os.name == 'posix': import resource
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect
from eyewear.page.launch import free_port, max_message, page_notebook, start_server, stop_server, wait_for_page
from eyewear.page.server import Guard, page_headers
import browsing
from browsing import until
from conftest import notebook
from localhost import host, reply
from tinymodel import tiny_model

ROOT = Path(__file__).resolve().parents[2]
BUSY = 90                                                            # seconds that a busy machine may take for anything here
MB = 2**20
SMALL_PAGE = "import ipywidgets\nipywidgets.Button(description='Classify')"

class Site:
    "A running server, seen from outside"
    def __init__(self, proc, port):
        self.proc = proc
        self.port = port
        self.host = f'127.0.0.1:{port}'
        self.origin = f'http://{self.host}'
        self.url = f'{self.origin}/'

    def ask(self, path, method='GET', body=None, **headers):
        "An answer: status, headers, data, text; the path goes out as it is written"
        headers = {k.replace('_', '-'): v for k, v in headers.items()}
        con = http.client.HTTPConnection('127.0.0.1', self.port, timeout=BUSY)
        try:
            con.request(method, path, body, headers)
            res = con.getresponse()
            data = res.read()
            return SimpleNamespace(status=res.status, headers=res.headers, data=data, text=data.decode(errors='replace'))
        finally: con.close()

    def is_up(self, path='/healthz'):
        assert self.proc.poll() is None, 'the server has ended'
        try: return self.ask(path).status == 200
        except OSError: return False

    @property
    def health(self): return json.loads(self.ask('/healthz').text)
    @property
    def memory(self): return psutil.Process(self.proc.pid).memory_info().rss
    @property
    def kernels(self): return browsing.kernels(self.proc)
    def quiet(self): return until(lambda: self.health['visitors'] == 0)

@contextmanager
def serving(page, model=None, **guard):
    "A notebook with these settings of the guard; an attack that succeeds ends the server, not this machine"
    port = free_port(0)
    site = Site(start_server(page, model, port, '127.0.0.1', guard), port)
    if sys.platform == 'linux': resource.prlimit(site.proc.pid, resource.RLIMIT_DATA, (2*2**30, 2*2**30))
    try:
        if guard['pool']: wait_for_page(site.proc, site.url)
        else: until(site.is_up)
        yield site
    finally: stop_server(site.proc)

def write_notebook(path, code):
    path.write_text(notebook(code))
    return path

@pytest.fixture(scope='module')
def model(tmp_path_factory): return tiny_model(tmp_path_factory.mktemp('serve')/'eyewear.onnx')

@pytest.fixture(scope='module')
def small_page(tmp_path_factory):
    "A page whose kernels start sooner than the app's"
    return write_notebook(tmp_path_factory.mktemp('page')/'small.ipynb', SMALL_PAGE)

@pytest.fixture(scope='module')
def public(model):
    "The app, three places, one page made ahead"
    with serving(page_notebook(), model, visitors=3, pool=1) as s: yield s

@pytest.fixture(scope='module')
def framing_site():
    "Another site, which shows the page in a frame: its address; the page's is put in after `?`"
    def frame(handler):
        shown = handler.path.partition('?')[2]
        page = f'<iframe src="{shown}" width=600 height=500></iframe>'
        reply(handler, page.encode(), Content_Type='text/html')
    with host(frame) as h: yield h.url.replace('127.0.0.1', 'localhost')

@pytest.fixture(scope='module')
def framed(small_page, framing_site):
    "One place, nothing made ahead, for browsers of this machine, in the frame of one site"
    with serving(small_page, visitors=1, pool=0, private=True, frame=framing_site) as s: yield s

CROWD_PATIENCE = 4

@pytest.fixture(scope='module')
def crowded(small_page):
    "Six places, nothing made ahead, some patience, and the name by which a proxy shows it"
    with serving(small_page, visitors=6, pool=0, patience=CROWD_PATIENCE, hosts=['app.example']) as s: yield s

@pytest.fixture(scope='module')
def hasty(small_page):
    "One place, nothing made ahead, little patience"
    with serving(small_page, visitors=1, pool=0, patience=1, untouched=2) as s: yield s

LOOP = asyncio.new_event_loop()

def wait_for(f, *args, **kw):
    "What an asynchronous function gives"
    async def go(): return await asyncio.wait_for(f(*args, **kw), BUSY)
    return LOOP.run_until_complete(go())

def message(kind, msg_id=None, **content):
    head = dict(msg_id=msg_id or kind, username='', session='test', msg_type=kind, version='5.3')
    return dict(header=head, parent_header={}, metadata={}, content=content, channel='shell')

def json_part(got):
    "The JSON of a message from the server, without the photos that come with it"
    if isinstance(got, str): return got
    start = struct.unpack('!II', got[:8])[1]
    return got[start:].split(b'\xff\xd8', 1)[0]

class Socket:
    "A websocket to a kernel"
    def __init__(self, ws): self.ws = ws
    def __enter__(self): return self
    def __exit__(self, *args):
        async def close(): self.ws.close()
        wait_for(close)

    def send(self, data): wait_for(self.ws.write_message, data, binary=isinstance(data, bytes))
    def read(self):
        "The next message; an error where the connection was ended"
        got = wait_for(self.ws.read_message)
        assert got is not None, 'hung up on'
        return got

    def hung_up(self):
        "The code with which the server has ended the connection, once it has"
        while wait_for(self.ws.read_message) is not None: pass
        return self.ws.close_code

    def answers(self, *messages):
        "The kinds of what the kernel says to `messages`, up to the answer to a last question after its health"
        for m in (*messages, message('kernel_info_request')): self.send(json.dumps(m))
        kinds = []
        while not kinds or kinds[-1] != 'kernel_info_reply': kinds.append(json.loads(self.read())['msg_type'])
        return kinds

    def replies(self, kind, **content):
        "What the kernel says to one message, until it is idle again"
        msg = message(kind, os.urandom(8).hex(), **content)
        self.send(json.dumps(msg))
        replies = []
        while not replies or replies[-1]['content'].get('execution_state') != 'idle':
            with suppress(ValueError):
                got = json.loads(json_part(self.read()))
                if got['parent_header'].get('msg_id') == msg['header']['msg_id']: replies.append(got)
        return replies

    def widgets(self):
        "The widgets of a page: kind -> identifier of the last one"
        [info] = [o for o in self.replies('comm_info_request') if o['msg_type'] == 'comm_info_reply']
        out = {}
        for comm in info['content']['comms']:
            for o in self.replies('comm_msg', comm_id=comm, data=dict(method='request_state')):
                if o['msg_type'] == 'comm_msg': out[o['content']['data']['state'].get('_model_name')] = comm
        return out

    def update(self, comm, **state):
        data = dict(method='update', state=state, buffer_paths=[])
        return self.replies('comm_msg', comm_id=comm, data=data)

class Visitor:
    "Somebody without a browser: a page, its cookie and its kernel"
    def __init__(self, site, cookie='', path='/', **headers):
        self.site = site
        res = site.ask(path, Cookie=cookie, **headers)
        self.status = res.status
        self.text = res.text
        self.headers = res.headers
        self.cookie = res.headers.get('Set-Cookie', cookie).split(';')[0]
        found = re.search(r'"kernelId": "([\w-]{36})"', res.text)
        self.kernel = found and found[1]

    def own(self, headers): return dict(Cookie=self.cookie, Origin=self.site.origin) | headers
    def leave(self, kernel=None, **headers):
        return self.site.ask(f'/leave/{kernel or self.kernel}', 'POST', '', **self.own(headers)).status

    async def connection(self, kernel=None, session='test', protocols=None, **headers):
        headers = {k: v for k, v in self.own(headers).items() if v}
        url = f'ws://{self.site.host}/api/kernels/{kernel or self.kernel}/channels?session_id={session}'
        return await websocket_connect(HTTPRequest(url, headers=headers, request_timeout=BUSY), subprotocols=protocols)

    def connect(self, *args, **kw):
        "A websocket to a kernel, as the page opens it"
        return Socket(wait_for(self.connection, *args, **kw))

    def wire(self, session='wire'):
        "The same without a library that reads what comes: a connected socket"
        key = base64.b64encode(bytes(16)).decode()
        lines = [f'GET /api/kernels/{self.kernel}/channels?session_id={session} HTTP/1.1', f'Host: {self.site.host}',
            f'Cookie: {self.cookie}', f'Origin: {self.site.origin}', 'Upgrade: websocket', 'Connection: Upgrade',
            'Sec-WebSocket-Version: 13', f'Sec-WebSocket-Key: {key}', '', '']
        s = socket.create_connection(('127.0.0.1', self.site.port), timeout=BUSY)
        s.sendall('\r\n'.join(lines).encode())
        assert b' 101 ' in s.recv(4096)
        return s

    def kernel_status(self, kernel=None, cookie=None):
        "The answer to the question whether a kernel lives"
        return self.site.ask(f'/api/kernels/{kernel or self.kernel}', Cookie=cookie or self.cookie)

    @property
    def connections(self): return json.loads(self.kernel_status().text)['connections']

    def refused(self, *args, **kw):
        "The status that a websocket is refused with"
        with pytest.raises(HTTPClientError) as e: self.connect(*args, **kw)
        return e.value.code

    def talk(self, *messages):
        "What the kernel says to `messages`, over a connection of its own"
        with self.connect() as ws: return ws.answers(*messages)

@pytest.fixture(scope='module')
def two(public):
    "Two people who do not know each other"
    pair = Visitor(public), Visitor(public)
    yield pair
    for v in pair: v.leave()

@pytest.fixture
def one(two): return two[0]

@pytest.fixture
def come():
    "Visitors of a site, who leave it at the end of the test"
    came = []
    def come(*args, **kw):
        came.append(Visitor(*args, **kw))
        return came[-1]
    come.came = came
    yield come
    for v in came:
        if v.kernel: v.leave()

# -- A kernel is for its owner

def test_visitor_reaches_the_own_kernel(two):
    a, b = two
    assert a.status == 200
    assert a.kernel != b.kernel and a.cookie != b.cookie
    assert 'kernel_info_reply' in a.talk()
    assert a.kernel_status().status == 200

def test_kernel_of_another_or_of_nobody_is_refused(two):
    a, b = two
    for kernel in (b.kernel, '00000000-0000-0000-0000-000000000000', '0-0-0-0-0'): assert a.refused(kernel) == 403
    for cookie in ('', b.cookie, a.cookie[:-4]+'0000'): assert a.refused(Cookie=cookie) == 403
    assert a.kernel_status(b.kernel).status == 403
    assert a.leave(b.kernel) == 403 and b.kernel_status().status == 200

ORIGINS = 'http://elsewhere.example', 'null', '', 'http://127.0.0.1', 'http://127.0.0.1:{port}.elsewhere.example'

@pytest.mark.parametrize('origin', ORIGINS)
def test_another_origin_is_refused(one, origin):
    origin = origin.format(port=one.site.port)
    assert one.refused(Origin=origin) == 403 and one.leave(Origin=origin) == 403

def test_cookie_says_nothing_to_scripts_and_other_sites(one):
    flags = {o.strip() for o in one.headers['Set-Cookie'].split(';')[1:]}
    assert flags == {'HttpOnly', 'SameSite=Lax', 'Path=/'}            # no Expires: it ends with the browser

def test_no_code_and_no_restart_from_a_visitor(one):
    code = message('execute_request', code='raise SystemExit', silent=False)
    said = one.talk(code, message('shutdown_request', restart=True), message('interrupt_request'), message('input_reply'))
    assert not {'execute_reply', 'shutdown_reply', 'error', 'stream', 'interrupt_reply'} & set(said)
    assert len(one.site.kernels) >= 2

def test_connection_of_a_session_takes_the_place_of_the_one_before(one):
    some = [one.connect() for _ in range(3)]
    with some[0], some[1], some[2]: assert 'kernel_info_reply' in some[2].answers()

def test_many_connections_at_once_are_four(one):
    async def sixty():
        tries = await asyncio.gather(*[one.connection(session=f's{i}') for i in range(60)], return_exceptions=True)
        some = [o for o in tries if not isinstance(o, Exception)]
        assert {o.code for o in tries if isinstance(o, HTTPClientError)} == {403}
        for ws in some: ws.close()
        return len(some)
    until(lambda: one.connections == 0)
    assert 1 <= wait_for(sixty) <= 4
    until(lambda: one.connections == 0)
    assert 'kernel_info_reply' in one.talk()                          # none of the refused ones counts

@pytest.mark.parametrize('session', ['', 'x'*300, '../a', '%00'])
def test_session_is_a_short_name(one, session): assert one.refused(session=session) == 403

# -- Nothing but the page

FORBIDDEN = '''
/app.ipynb /nbs/app.ipynb /eyewear.onnx /voila/files/app.ipynb /voila/files/eyewear.onnx /voila/files/../serve.py
/voila/render/app.ipynb /voila/tree /voila/api/contents /api/contents /api/contents/app.ipynb /api/terminals /api/kernels
/api/kernelspecs /api/sessions /api/status /api/me /api/config/x /login /logout /metrics /files/app.ipynb /tree /lab /static/
/voila/static/ /voila/static/../app.py /voila/static/..%2f..%2f..%2fetc%2fpasswd /voila/static/%2fetc%2fpasswd
/voila/templates/eyewear/index.html.j2 /voila/templates/eyewear/static/../index.html.j2
/voila/templates/eyewear/static/..%2findex.html.j2 /voila/templates/../static/x /voila/templates/ /voila/templates/x
/voila/templates/lab/static/ /voila/labextensions/ /voila/labextensions/anywidget/
/voila/labextensions/jupyterlab_pygments/package.json /voila/labextensions/anywidget/../../../../../etc/passwd
/voila/labextensions/anywidget/..%2fjupyterlab_pygments/package.json
/voila/labextensions/anywidget/..%5cjupyterlab_pygments/package.json /voila/api/shutdown/0-0-0-0-0 /voila/api/themes/x
/voila/query/0-0-0-0-0 /voila/execution/0-0-0-0-0 /leave/0-0-0-0-0 /index.html /.env /.git/config //etc/passwd /%00 /healthz/x
'''.split()

def test_nothing_but_the_page_can_be_had(public):
    before = public.health['visitors']
    for path in FORBIDDEN:
        res = public.ask(path)
        assert res.status in (400, 403, 404, 405), (path, res.status)
        assert not re.search(r'Traceback|\.py\b|site-packages|"cells"|'+re.escape(str(ROOT)), res.text), path
    assert public.health['visitors'] == before                        # no address but the page starts a kernel

@pytest.mark.parametrize('method', ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])
def test_nothing_can_be_written(one, method):
    for path in ('/', '/healthz', '/api/kernels', f'/api/kernels/{one.kernel}', '/voila/static/voila.js'):
        res = one.site.ask(path, method, '{}', Cookie=one.cookie, Origin=one.site.origin)
        assert res.status in (403, 404, 405), (path, res.status)
    assert one.kernel_status().status == 200

def test_large_body_is_not_read(public):
    try: assert public.ask('/leave/0-0-0-0-0', 'POST', b'x'*MB).status in (400, 413)
    except (ConnectionError, http.client.HTTPException): pass         # hung up on
    assert public.health['places'] == 3

ANSWERS = {'/healthz': 200, '/nothing': 404, '/voila/static/voila.js': 200, '/voila/static/nothing': 403,
    '/voila/templates/eyewear/static/page.js': 200, '/leave/0-0-0-0-0': 405, '/voila/labextensions/anywidget/package.json': 200,
    '/voila/templates/base/static/voila.js': 200}

def test_every_answer_has_the_headers(one):
    found = {o: one.site.ask(o) for o in ANSWERS}
    foreign = one.site.ask(f'/api/kernels/{one.kernel}')
    assert {o: res.status for o, res in found.items()} == ANSWERS and foreign.status == 403
    for res in (one, foreign, *found.values()):
        assert {k: res.headers[k] for k in page_headers()} == page_headers() and 'Server' not in res.headers

FILES = '/voila/static/voila.js', '/voila/templates/eyewear/static/index.css', '/voila/labextensions/anywidget/package.json'

@pytest.mark.parametrize('path', FILES)
def test_files_go_out_compressed_to_whoever_takes_that(public, path):
    plain = public.ask(path)
    packed = public.ask(path, Accept_Encoding='gzip, br')
    assert packed.status == 200 and 'Content-Encoding' not in plain.headers
    for res in (plain, packed):
        assert res.headers['Vary'] == 'Accept-Encoding' and int(res.headers['Content-Length']) == len(res.data)
    if path.endswith('.json'): assert packed.data == plain.data
    else:
        assert packed.headers['Content-Encoding'] == 'gzip'
        assert gzip.decompress(packed.data) == plain.data and len(packed.data) < len(plain.data)/2
    part = public.ask(path, Accept_Encoding='gzip', Range='bytes=10-19')
    assert part.status == 206 and part.data == packed.data[10:20]
    assert public.ask(path, If_Modified_Since=plain.headers['Last-Modified']).status == 304

def test_headers_say_what_they_should():
    csp = dict(o.split(' ', 1) for o in page_headers()['Content-Security-Policy'].split('; '))
    for kind in ('default-src', 'base-uri', 'form-action', 'frame-ancestors'): assert csp[kind] == "'none'"
    assert csp['connect-src'] == "'self'" and 'unsafe' not in csp['script-src']
    assert not re.search(r'https?:|\*', ' '.join(csp.values()))
    assert page_headers()['X-Content-Type-Options'] == 'nosniff'
    assert 'camera=(self)' in page_headers()['Permissions-Policy']

def test_template_cannot_be_chosen(public, come):
    v = come(public, path='/?template=base&theme=dark')
    assert v.status == 200 and 'page.js' in v.text and 'theme-light' in v.text
    assert '<html lang="en">' in v.text and 'name="viewport"' in v.text

UNSEEN = [('Sec-Fetch-Dest', 'image', 403), ('Sec-Fetch-Dest', 'iframe', 403), ('Sec-Fetch-Dest', 'empty', 403),
    ('Sec-Purpose', 'prefetch;prerender', 503)]

@pytest.mark.parametrize('name,value,status', UNSEEN)
def test_page_that_nobody_looks_at_costs_no_place(public, name, value, status):
    before = public.health['visitors']
    assert public.ask('/', **{name: value}).status == status and public.health['visitors'] == before

def test_health_is_for_everybody_and_sets_no_cookie(public):
    res = public.ask('/healthz')
    assert res.status == 200 and set(json.loads(res.text)) == {'visitors', 'places', 'ready'} and 'Set-Cookie' not in res.headers

# -- Under attack

V1 = 'v1.kernel.websocket.jupyter.org'
EMPTY = json.dumps(dict(header=dict(msg_id='a', msg_type='comm_msg'), parent_header={}, metadata={}, content={}))
FRAMES = {                                                           # name -> message, protocol
    '2**62 parts': ((2**62).to_bytes(8, 'little'), V1),
    '20,000,000 parts': ((20_000_000).to_bytes(8, 'little'), V1),
    'parts beyond the end': (struct.pack('<8Q', 7, 64, 69, 99, 99, 99, 99, 2**40)+b'shell', V1),
    'nothing': (b'', V1),
    'text in a binary protocol': (EMPTY, V1),
    '2**31-1 parts': ((2**31-1).to_bytes(4, 'big'), None),
    'offsets backwards': (struct.pack('>IIII', 3, 16, 99, 17)+EMPTY.encode(), None),
    'brackets in brackets': ('{"a":'*3_000_000, None),
    'many brackets': ('['+'[],'*6_000_000+'0]', None),
    'a text without an end': ('"'+r'\"'*130_000, None),
    'another channel': (EMPTY[:-1]+', "channel": "iopub"}', None),
    'no header': ('{"content": {}}', None),
    'a list': ('[1]', None)}

def test_messages_that_are_none_end_their_connection_and_cost_the_others_nothing(one):
    "All of them, on one server after the other"
    before = one.site.memory
    for name, (frame, protocol) in FRAMES.items():
        start = time.monotonic()
        with one.connect(protocols=[protocol] if protocol else None) as ws:
            ws.send(frame)
            assert ws.hung_up() == 1008, name
        assert one.site.health['places'] == 3 and time.monotonic()-start < 5, name
    assert one.site.memory < before+100*MB
    assert 'kernel_info_reply' in one.talk()

def head_of_frame(n, op=2): return struct.pack('!BBQ', 0x80|op, 0x80|127, n)+bytes(4)

def test_messages_that_never_end_are_forgotten_with_their_connection(one):
    site = one.site
    before = site.memory
    for _ in range(4):
        wires = [one.wire(f's{i}') for i in range(4)]
        for w in wires: w.sendall(head_of_frame(20*MB+9)+bytes(20*MB))
        until(lambda: site.memory > before+60*MB)
        for w in wires: w.close()
        until(lambda: site.memory < before+50*MB)
    until(lambda: one.connections == 0)

def test_message_larger_than_a_photo_is_refused(one):
    with one.connect() as ws:
        with suppress(Exception): ws.send(bytes(max_message+1))
        ws.hung_up()
    until(lambda: one.connections == 0)

def prepare(v, kind, **state):
    "The identifier of the widget of a `kind`, once its `state` is set"
    with v.connect() as ws:
        comm = ws.widgets()[kind]
        if state: ws.update(comm, **state)
    until(lambda: v.connections == 0)
    return comm

def test_error_in_the_kernel_is_a_sentence_and_the_connection_lives_on(one):
    with one.connect() as ws:
        wrong = ws.update(ws.widgets()['ToggleButtonModel'], value='x')
        assert 'kernel_info_reply' in ws.answers()
    errors = [o['content'] for o in wrong if o['msg_type'] == 'error']
    assert [o['traceback'] for o in errors] == [['Something went wrong on the server.']] and 'Trait' not in str(errors)

def test_visitor_who_never_reads_is_hung_up_on(one):
    "Each question is small and each answer 200 KB"
    site = one.site
    before = site.memory
    html = prepare(one, 'HTMLModel', value='x'*200_000)
    most = before
    wire = one.wire()
    with suppress(OSError):
        for i in range(600):
            question = message('comm_msg', os.urandom(8).hex(), comm_id=html, data=dict(method='request_state'))
            data = json.dumps(question).encode()
            wire.sendall(head_of_frame(len(data), 1)+data)
            if i % 50 == 0: most = max(most, site.memory)
    until(lambda: one.connections == 0)
    assert max(most, site.memory) < before+100*MB
    wire.close()

def test_photos_wait_in_the_browser_while_the_kernel_is_busy(public, come):
    v = come(public)
    before = public.memory
    about = dict(do='photo', name='a.jpg', problem='', i=0, n=1)
    msg = message('comm_msg', comm_id=prepare(v, 'AnyModel'), data=dict(method='custom', content=about))
    wire = v.wire()
    wire.settimeout(1)
    sent = 0
    end = time.monotonic()+6
    while time.monotonic() < end:
        msg['header']['msg_id'] = os.urandom(8).hex()
        text = json.dumps(msg).encode()
        data = struct.pack('!III', 2, 12, 12+len(text))+text+bytes(10*MB)
        try: wire.sendall(head_of_frame(len(data))+data)
        except OSError: break                                         # it waits: 1 s is long on a loopback
        sent += 1
    assert 1 <= sent < 20 and public.memory < before+120*MB and public.health['places'] == 3
    wire.close()

@pytest.mark.skipif(sys.platform != 'linux', reason='limits of another process are known on Linux alone')
def test_kernel_may_take_so_much_memory(one):
    for kernel in one.site.kernels:
        assert resource.prlimit(kernel.pid, resource.RLIMIT_DATA) == (2**30, 2**30)
        assert kernel.environ()['OPENBLAS_NUM_THREADS'] == '1'        # else each core takes 40 MB of it

# -- Places

def test_places_fill_up_and_come_free(public, two, come):
    for v in two: v.leave()
    public.quiet()
    inside = [come(public) for _ in range(3)]
    assert [o.status for o in inside] == [200]*3 and len({o.kernel for o in inside}) == 3
    for _ in range(3):                                                # again and again: a refusal leaves nothing behind
        late = come(public)
        assert late.status == 503 and late.headers['Retry-After'] == '60' and not late.kernel
        assert 'Many people are here' in late.text
    assert public.health == dict(visitors=3, places=3, ready=0) and len(public.kernels) == 3
    again = come(public, inside[0].cookie)                            # who loads the page again keeps the place
    assert again.status == 200 and again.kernel != inside[0].kernel and public.health['visitors'] == 3
    assert come(public).status == 503
    assert inside[1].leave() == 204 and inside[1].leave() == 403
    new = come(public)
    assert new.status == 200 and come(public).status == 503
    for v in (again, inside[2], new): assert v.leave() == 204
    until(lambda: public.health == dict(visitors=0, places=3, ready=1))
    until(lambda: len(public.kernels) == 1)

def test_page_made_ahead_that_died_is_made_anew(public, come):
    public.quiet()
    until(lambda: public.health['ready'] == 1)
    [old] = until(lambda: len(public.kernels) == 1 and public.kernels)
    old.kill()
    until(lambda: public.health['ready'] == 1 and [o.pid for o in public.kernels] not in ([old.pid], []))
    v = come(public)
    assert v.status == 200 and v.kernel_status().status == 200

def test_page_whose_kernel_dies_as_it_starts_is_made_anew(public, come):
    "Another program has taken its ports, say: the visitor who waits for the page gets one all the same"
    public.quiet()
    until(lambda: public.health['ready'] == 1)
    come(public)                                                      # takes the page made ahead; the next one is begun
    known = {o.pid for o in public.kernels}
    [new] = until(lambda: [o for o in public.kernels if o.pid not in known])
    new.suspend()
    with ThreadPoolExecutor(1) as pool:
        visit = pool.submit(come, public)
        until(lambda: public.health['visitors'] == 2)
        new.kill()
    assert visit.result().kernel_status().status == 200

def test_page_that_was_left_without_a_word_gives_its_kernel_back(hasty, come):
    v = come(hasty)
    with v.connect():
        time.sleep(2)                                                 # while a page is open it keeps its kernel: patience is 1 s
        assert v.kernel_status().status == 200
    hasty.quiet()
    assert v.kernel_status().status == 403
    until(lambda: not hasty.kernels)

def test_page_that_was_never_looked_at_gives_its_kernel_back(hasty, come):
    assert come(hasty).status == 200                                  # a crawler, say
    hasty.quiet()

def test_page_that_is_slow_to_come_up_keeps_its_kernel_until_another_needs_the_place(hasty, come):
    hasty.quiet()
    v = come(hasty)
    time.sleep(2)                                                     # a busy browser: twice our patience
    assert 'kernel_info_reply' in v.talk()
    v.leave()
    hasty.quiet()
    silent = come(hasty)
    assert silent.status == 200 and come(hasty).status == 503
    time.sleep(.5)
    assert come(hasty).status == 200 and silent.refused() == 403

def test_page_that_nobody_touches_makes_room(hasty, come):
    hasty.quiet()
    with come(hasty).connect() as ws:
        ws.answers()
        first = come(hasty)
        late = until(lambda: (v := come(hasty)).status != 503 and v)
        assert first.status == 503 and late.status == 200
        ws.hung_up()
    late.leave()
    hasty.quiet()

# -- In a crowd

def test_crowd_is_served_one_after_the_other(crowded, come):
    "The first need not wait for the last, and the server has time for a question"
    def seconds(f, *args):
        start = time.monotonic()
        f(*args)
        return time.monotonic()-start
    with ThreadPoolExecutor(6) as pool:
        visits = [pool.submit(seconds, come, crowded) for _ in range(6)]
        questions = []
        while not all(o.done() for o in visits):
            questions.append(seconds(crowded.ask, '/healthz'))
            time.sleep(.05)
    waits = sorted(o.result() for o in visits)
    assert waits[0] < .75*waits[-1] and max(questions) < 1
    assert [(o.status, o.leave()) for o in come.came] == [(200, 204)]*6

def test_class_behind_one_address_comes_in_turn(crowded, come):
    "Who comes from elsewhere need not wait for them"
    crowded.quiet()
    def pupil(): return come(crowded, X_Forwarded_For='9.9.9.9, 203.0.113.9')
    four = [pupil() for _ in range(4)]
    other = come(crowded, X_Forwarded_For='203.0.113.7')
    assert [o.status for o in (*four, other)] == [200]*5
    with ThreadPoolExecutor(1) as pool:
        fifth = pool.submit(pupil)
        time.sleep(.5)
        assert not fifth.done()
        with four[-1].connect() as ws:
            ws.answers()
            assert fifth.result().status == 200

def test_one_address_cannot_take_every_place(crowded, come):
    "Six pages at once for a script that shows none of them: two places are left to others"
    crowded.quiet()
    def bot(): return come(crowded, X_Forwarded_For='203.0.113.9').status
    with ThreadPoolExecutor(6) as pool: bots = [pool.submit(bot) for _ in range(6)]
    others = [come(crowded, X_Forwarded_For=f'203.0.113.{o}').status for o in (7, 8)]
    assert (sorted(o.result() for o in bots), others) == ([200]*4+[503]*2, [200]*2)

def test_visitor_who_hangs_up_gives_the_place_back(crowded):
    crowded.quiet()
    calls = [socket.create_connection(('127.0.0.1', crowded.port)) for _ in range(6)]
    for c in calls: c.sendall(f'GET / HTTP/1.1\r\nHost: {crowded.host}\r\n\r\n'.encode())
    until(lambda: crowded.health['visitors'] == 6)
    for c in calls: c.close()
    start = time.monotonic()
    crowded.quiet()
    assert time.monotonic()-start < 5*CROWD_PATIENCE                  # when a page that never connects would go
    until(lambda: not crowded.kernels)

PATHS = {'/': 200, '/healthz': 200, '/nothing': 404, '/voila/static/voila.js': 200, '/voila/templates/eyewear/static/page.js': 200}

@pytest.mark.parametrize('path,status', PATHS.items())
def test_page_of_this_machine_answers_to_its_names_alone(crowded, path, status):
    "A name that was pointed at this machine opens no door (DNS rebinding)"
    crowded.quiet()
    method = 'HEAD' if path == '/' else 'GET'
    for host in ('elsewhere.example', f'elsewhere.example:{crowded.port}', '192.0.2.7', 'localhost.elsewhere.example'):
        assert crowded.ask(path, Host=host).status == 403, host
    for host in ('localhost', crowded.host, '[::1]', 'app.example'):
        assert crowded.ask(path, method, Host=host).status == status, host
    assert crowded.health['visitors'] == 0 and not crowded.kernels

def test_page_for_others_answers_to_every_name():
    for ip in ('0.0.0.0', '::', '192.0.2.7'): assert not Guard(ip=ip).private
    for ip in ('127.0.0.1', '::1', 'localhost'): assert Guard(ip=ip).private

# -- In a browser

class Tab(browsing.Visitor):
    "A page in a browser, and what it asked for"
    def __init__(self, browser, url, **context):
        super().__init__(browser, **context)
        self.url = url
        self.asked = []
        self.errors = []
        self.page.on('request', lambda r: self.asked.append(r.url))
        self.page.on('console', lambda m: self.errors.append(m.text) if m.type == 'error' else None)
        self.page.on('pageerror', lambda e: self.errors.append(str(e)))

    def open(self):
        self.status = self.page.goto(self.url, timeout=BUSY*1000).status
        return self

    def ready(self, frame=None):
        (frame or self.page).get_by_role('button', name='Classify').wait_for(timeout=BUSY*1000)
        return self

    @property
    def notice(self): return self.page.locator('#notice')
    def told(self, text): self.notice.get_by_text(text).wait_for(timeout=BUSY*1000)
    @property
    def kernel(self): return json.loads(self.page.locator('#jupyter-config-data').text_content())['kernelId']

@pytest.fixture
def tab(browser, public):
    "The app in a browser, nobody else being there"
    public.quiet()
    with Tab(browser, public.url) as t: yield t.open().ready()

SHIFTS = '''window.shifts = []
new PerformanceObserver(l => shifts.push(...l.getEntries().map(o => o.value))).observe({type: 'layout-shift', buffered: true})'''

@pytest.mark.parametrize('scheme,back', [('light', 'rgb(255, 255, 255)'), ('dark', 'rgb(18, 21, 23)')])
def test_page_opens_without_a_jump_and_asks_only_its_own_server(browser, public, scheme, back):
    public.quiet()
    until(lambda: public.health['ready'] == 1)
    with Tab(browser, public.url, color_scheme=scheme) as tab:
        tab.page.add_init_script(SHIFTS)
        tab.open().ready()
        assert [o for o in tab.asked if not o.startswith((public.url, 'data:', 'blob:'))] == [] and tab.errors == []
        assert tab.page.title() == 'Photo classifier' and not tab.notice.is_visible()
        assert sum(tab.page.evaluate('shifts')) < .01
        assert tab.page.evaluate('getComputedStyle(document.documentElement).backgroundColor') == back
        assert tab.page.evaluate('document.body.dataset.jpThemeLight') == str(scheme == 'light').lower()
        assert tab.page.evaluate("fetch('http://localhost:9/').then(() => 'went out', e => 'stayed')") == 'stayed'

def test_dead_kernel_is_said_and_the_page_can_be_loaded_again(public, tab):
    old = tab.kernel
    [proc] = [o for o in public.kernels if old in ' '.join(o.cmdline())]
    proc.kill()
    tab.told('This page has ended')
    assert public.health['visitors'] == 0                             # the place is free
    tab.button('Load the page again').click()
    until(lambda: tab.page.locator('#jupyter-config-data').count() and tab.kernel != old)
    tab.ready()
    assert not tab.notice.is_visible()

FORGE = '''async () => { const manager = jupyterapp.widgetManager
  for (const id of Object.keys(manager._models)) {
    const model = await manager.get_model(id)
    if (model.name === 'ToggleButtonModel') { model.set('value', 'x'); model.save_changes() } } }'''

def test_error_in_the_kernel_and_a_file_too_large_are_said_on_the_page(tab):
    "The file is sent by a widget that does not look at the size, as the upload button of ipywidgets"
    tab.page.evaluate(FORGE)
    tab.told('Something went wrong on the server')
    tab.button('Classify').click()                                    # the connection lives on
    tab.page.get_by_text('There is no photo yet').wait_for(timeout=BUSY*1000)
    tab.page.evaluate(FORGE.replace("'x'", f"'x'.repeat({max_message})"))
    tab.told('too large: at most 20 MB')

def test_lost_connection_is_said_until_it_is_back(browser, public):
    public.quiet()
    with Tab(browser, public.url) as tab:
        sockets = []
        is_lost = False
        def route(ws):
            if is_lost: return ws.close()
            ws.connect_to_server()
            sockets.append(ws)
        tab.page.route_web_socket(re.compile('/channels'), route)
        tab.open().ready()
        is_lost = True
        for ws in sockets: ws.close()
        tab.told('The connection to the server is lost')
        assert tab.button('Load the page again').is_visible()

def test_page_comes_up_however_late_it_hears_of_its_kernel(browser, public):
    "A busy machine: its answer about the kernel takes more than the 20 s after which a page without one has ended"
    public.quiet()
    with Tab(browser, public.url) as tab:
        held = []
        tab.page.clock.install()
        tab.page.route(re.compile(r'/api/kernels/[\w-]+'), lambda route: held.append(route))
        with tab.page.expect_request(re.compile('/api/kernels/')): tab.open()
        tab.page.clock.fast_forward(31_000)
        tab.told('This takes longer than it should')
        for route in held: route.continue_()
        tab.ready()
        assert not tab.notice.is_visible()

def test_kernel_that_was_taken_away_is_said(public, tab, come):
    "The same browser needs the place for another page"
    for _ in range(2): come(public)
    second = tab.context.new_page()
    assert second.goto(public.url, timeout=BUSY*1000).status == 200
    tab.told('This page has ended')

@pytest.mark.parametrize('path,status,says', [('nothing', 404, 'No such page'), ('api/kernels/0-0-0-0-0', 403, 'Not for this visit')])
def test_error_is_a_page_with_a_sentence(browser, framed, path, status, says):
    framed.quiet()
    with Tab(browser, framed.url+path) as tab:
        assert tab.open().status == status and tab.page.get_by_role('heading', name=says).is_visible()
        assert [o for o in tab.asked if not o.startswith(framed.url)] == []
        tab.page.get_by_role('link', name='Go to the page').click()
        tab.ready()

# -- One place, a frame, this machine alone

def test_page_that_is_left_gives_its_place_back_at_once(browser, framed):
    "It is the goodbye that does it: patience is a minute here"
    framed.quiet()
    with Tab(browser, framed.url) as tab:
        tab.open().ready()
        old = tab.kernel
        tab.page.reload()                                             # the new page is asked for while the old one has the only place
        tab.ready()
        assert tab.kernel != old and framed.health['visitors'] == 1
        with Tab(browser, framed.url) as other:
            assert other.open().status == 503 and other.page.get_by_role('heading', name='Open elsewhere').is_visible()
            tab.page.goto('about:blank')
            start = time.monotonic()
            framed.quiet()
            assert time.monotonic()-start < 50
            other.page.get_by_role('link', name='Try again').click()
            other.ready()
    framed.quiet()

def test_page_in_the_frame_of_the_site_that_is_named(browser, framed, framing_site):
    framed.quiet()
    with Tab(browser, f'{framing_site}/?{framed.url}') as tab:
        tab.open().ready(tab.page.frame_locator('iframe'))
        tab.page.goto('about:blank')
        framed.quiet()

def test_cookie_for_a_frame(framed, come):
    framed.quiet()
    flags = {o.strip() for o in come(framed).headers['Set-Cookie'].split(';')}
    assert {'Secure', 'HttpOnly', 'SameSite=None', 'Partitioned'} <= flags

def test_page_in_no_other_frame(browser, public, framed, framing_site):
    public.quiet()
    for site, host in ((public, framing_site), (framed, framing_site.replace('localhost', '127.0.0.1'))):
        with Tab(browser, f'{host}/?{site.url}') as tab:
            tab.open()
            until(lambda: [o for o in tab.errors if 'frame' in o.lower()])
            assert not tab.page.frame_locator('iframe').get_by_role('button').count()
    assert public.health['visitors'] == 0                             # it cost no place

# -- A busy machine

LATE_OUTPUT = '''import sys, time
sys.stdout.flush_timeout = sys.stderr.flush_timeout = 0
get_ipython().kernel.iopub_thread.schedule(lambda: time.sleep(6))
7**9'''

def test_output_that_comes_late_is_on_the_page(tmp_path):
    "Twenty visitors at once: a kernel's output may come seconds after its answer that the cell has run"
    with serving(write_notebook(tmp_path/'slow.ipynb', LATE_OUTPUT), visitors=1, pool=0) as s: assert str(7**9) in Visitor(s).text
