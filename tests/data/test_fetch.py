"The fetcher against an internet on loopback: what comes, what does not, and how the manifest says why."
import asyncio, gc, itertools, os, re, signal, socket, subprocess, sys, threading, time, tracemalloc
from collections import Counter
from types import SimpleNamespace
import psutil, pytest
from PIL import Image
from eyewear.core import DatasetError, sha256
from eyewear.data.dataset import Dataset
from eyewear.data.fetch import Found, fetch
from photohost import PhotoHost, bomb, photo, pictures

@pytest.fixture(autouse=True, scope='module')
def no_proxies():
    with pytest.MonkeyPatch.context() as m:
        for o in 'http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY'.split(): m.delenv(o, raising=False)
        yield

@pytest.fixture
def host():
    with PhotoHost() as host: yield host

def get(path, urls, limit=1000, label='cups', **kwargs):
    "Fetch `urls` into the dataset at `path`; its rows as they are on disk afterwards, by address"
    found = (o if isinstance(o, Found) else Found(o) for o in urls)
    kwargs = {'timeout': .5, 'quiet': True, **kwargs}
    fetch(Dataset.create(path), {label: ('a cup', found)}, limit, 'test', **kwargs)
    return {r['image_url']: r for r in Dataset(path).rows}

def at(host, n, kind='ok'): return (host.url(f'/{kind}/{i}.jpg', i%len(host.ports)) for i in range(n))
def statuses(rows): return Counter(r['status'] for r in rows.values())

# ---- each kind of answer, all fetched in one go

KINDS = [ # Path, status, what the reason must say, how often it is asked for ('' where that does not matter)
    ('/ok/1.jpg', 'ok', '', 1),
    ('/octet/2', 'ok', '', 1),
    ('/ok/brille-ü-眼鏡 3.jpg', 'ok', '', 1),
    (f'/ok/{"x"*3000}4.jpg', 'ok', '', 1),
    ('/flaky/5.jpg', 'ok', '', 2),
    ('/flaky/6.jpg?bad=2&status=503', 'ok', '', 3),
    ('/stallonce/7.jpg', 'ok', '', 2),
    ('/busy/8.jpg?after=1', 'ok', '', 2),
    ('/busy/9.jpg?after=1&date=1', 'ok', '', 2),
    ('/busy/10.jpg?after=1&status=503', 'ok', '', 2),
    ('/busy/12.jpg?bad=9&after=0', 'failed', '429 .*3 tries', 3),
    ('/404/1.jpg', 'failed', '404 Not Found', 1),
    ('/410/1.jpg', 'failed', '410 Gone', 1),
    ('/403/1.jpg', 'failed', '403 Forbidden', 1),
    ('/500/1.jpg', 'failed', '500 Internal Server Error .*3 tries', 3),
    ('/503/1.jpg', 'failed', '503 Service Unavailable', 3),
    ('/stall/1.jpg', 'failed', r'no answer in 0\.5 s .*3 tries', 3),
    ('/halfway/1.jpg', 'failed', 'no answer|not complete', 3),
    ('/trickle/1.jpg', 'failed', 'not complete', 3),
    ('/drip/1.jpg', 'failed', 'not complete', 3),
    ('/closed/1.jpg', 'failed', 'closed|reset|cannot be reached', ''),
    ('/cut/1.jpg', 'failed', 'cut off', ''),
    ('/short/1.jpg', 'failed', 'damaged|truncated|cut off', ''),
    ('/half/1.jpg', 'failed', 'damaged|truncated', 1),
    ('/html/1.jpg', 'failed', 'not a photo', 1),
    ('/svg/1.jpg', 'failed', 'not a photo', 1),
    ('/empty/1.jpg', 'failed', 'empty', 1),
    ('/claims/1.png', 'failed', 'pixels', 1),
    ('/gzip/1.jpg', 'failed', 'gzip|20 MB', 1),
    ('/hops/5/13.jpg', 'ok', '', 1),
    ('/hops/6/14.jpg', 'failed', '5 redirects', 1),
    ('/loop/1.jpg', 'failed', '5 redirects', ''),
    *((f'/{o}', 'ok', '', 1) for o in 'rotated/1.jpg cmyk/1.jpg deep/1.png moving/1.gif glass/1.png webp/1.webp large/1.jpg'.split())]

@pytest.fixture(scope='module')
def went(tmp_path_factory):
    "What became of each kind: the host, the dataset, rows by path"
    path = tmp_path_factory.mktemp('kinds')
    for f in [bomb, *pictures.values()]: f()  # Once, before the clock runs
    with PhotoHost(ports=8) as host:
        urls = [host.url(o, i%8) for i,(o,*_) in enumerate(KINDS)]
        start = time.monotonic()
        rows = get(path, urls, allow=host.netlocs)
        host.seconds = time.monotonic()-start
        yield host, Dataset.create(path), {o: rows.get(u) for u,(o,*_) in zip(urls, KINDS)}

@pytest.mark.parametrize('path, status, says, asked', KINDS, ids=[o[0][:30] for o in KINDS])
def test_kinds(went, path, status, says, asked):
    host, ds, rows = went
    row = rows[path]
    assert row['status']==status, row['reason']
    assert re.search(says, row['reason'], re.I) and '\n' not in row['reason'] and len(row['reason'])<160
    if asked: assert host.asked[path.split('?')[0]]==asked
    if status!='ok': return
    assert Image.open(ds.path/row['file']).size==(int(row['width']), int(row['height']))
    assert not row['reason']

def test_one_row_for_each(went):
    host, ds, rows = went
    assert len(ds.rows)==len(KINDS)
    assert {f.name for f in ds.files()}=={r['file'].split('/')[1] for r in ds.rows if r['status']=='ok'}
    assert host.seconds<20

def test_stored_upright_small_and_plain(went):
    host, ds, rows = went
    def size(path): return rows[path]['width'], rows[path]['height']
    assert size('/rotated/1.jpg')==('40','60') and size('/large/1.jpg')==('1024','614')
    for f in ds.files():
        img = Image.open(f)
        assert img.mode in ('RGB','L') and getattr(img, 'n_frames', 1)==1
    large = pictures['large']()
    assert rows['/large/1.jpg']['sha256']==sha256(large) and rows['/large/1.jpg']['bytes']==str(len(large))
    assert (ds.path/rows['/octet/2']['file']).read_bytes()==photo(2)

def test_waits_between_tries_and_redirects_end(went):
    host = went[0]
    first, second = (b-a for a,b in itertools.pairwise(host.times['/500/1.jpg']))
    assert .05<first<second and host.asked['/loop/0.jpg']+host.asked['/loop/1.jpg']<=6
    for o in ('/busy/8.jpg','/busy/9.jpg','/busy/10.jpg'): assert host.times[o][1]-host.times[o][0]>=1

def test_nobody_waits_an_hour(tmp_path):
    "A host that asks to be left alone for long is left alone, by all photos it has"
    with PhotoHost(ports=2) as host:
        urls = [*(host.url(f'/busy/{i}.jpg?after=3600&bad=9') for i in range(6)), host.url('/ok/1.jpg', 1)]
        start = time.monotonic()
        rows = get(tmp_path, urls, allow=host.netlocs)
        assert time.monotonic()-start<5 and host.total<=5
        assert statuses(rows)=={'failed':6, 'ok':1} and all('429' in rows[u]['reason'] for u in urls[:6])

# ---- how many at once, how much, how far ahead

def test_at_once(tmp_path):
    with PhotoHost(ports=8, latency=.05) as host:
        assert statuses(get(tmp_path, at(host, 96), allow=host.netlocs))=={'ok':96}
        assert 12<=host.most<=16 and host.most_a_port<=4
    with PhotoHost(latency=.05) as host:
        get(tmp_path, at(host, 16), allow=host.netlocs)
        assert host.most==4

def test_at_once_where_redirects_lead(tmp_path):
    "Twelve photos on four ports that all send on to a fifth: it is asked for four at a time, too"
    with PhotoHost(ports=5, latency=.05) as host:
        urls = [host.url(f'/to/{i}.jpg?url={host.url(f"/ok/{i}.jpg", 4)}', i%4) for i in range(12)]
        assert statuses(get(tmp_path, urls, allow=host.netlocs))=={'ok':12} and host.most_a_port==4

def test_at_once_with_several_labels(tmp_path):
    with PhotoHost(ports=8, latency=.05) as host:
        wanted = {o: ('', [Found(host.url(f'/ok/{o}{i}.jpg', i%8)) for i in range(30)]) for o in 'abcd'}
        fetch(Dataset.create(tmp_path), wanted, 20, allow=host.netlocs, quiet=True)
        assert Dataset(tmp_path).counts()==dict.fromkeys('abcd', 20) and 12<=host.most<=16 and host.most_a_port<=4

def test_a_slow_host_does_not_hold_up_the_others(tmp_path):
    with PhotoHost(ports=2) as host:
        urls = [*(host.url(f'/stall/{i}.jpg') for i in range(12)), *(host.url(f'/ok/{i}.jpg', 1) for i in range(12))]
        get(tmp_path, urls, timeout=1, tries=1, allow=host.netlocs)
        last = max(host.times[f'/ok/{i}.jpg'][0] for i in range(12))
        assert last-host.times['/stall/0.jpg'][0]<.9

def test_a_label_that_is_full_waits_for_nobody(tmp_path):
    "One photo stalls, others come in its place: its row says so, and nobody waits 3 x 3 s"
    with PhotoHost(ports=2) as host:
        urls = [host.url('/stall/0.jpg', 1), *at(host, 40)]
        start = time.monotonic()
        rows = get(tmp_path, urls, 20, timeout=3, allow=host.netlocs)
        assert time.monotonic()-start<3 and statuses(rows)['ok']==20 and len(Dataset(tmp_path).files())==20
        assert rows[urls[0]]['status']=='failed' and rows[urls[0]]['reason'] and host.total<=20+1+8

@pytest.mark.parametrize('ask', ['','?length=1'])
def test_200_mb(tmp_path, host, ask):
    tracemalloc.start()
    try: row, = get(tmp_path, [host.url('/huge/1.jpg'+ask)], timeout=5, allow=host.netlocs).values()
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert row['status']=='failed' and 'over 20 MB' in row['reason'] and host.asked['/huge/1.jpg']==1
    assert host.sent['/huge/1.jpg']<30_000_000 and peak<60_000_000

def test_reads_the_search_only_as_far_as_it_must(tmp_path, host):
    read = []
    def search():
        for i in itertools.count():
            read.append(i)
            yield host.url(f'/ok/{i}.jpg')
    rows = get(tmp_path, search(), 5, allow=host.netlocs)
    assert statuses(rows)=={'ok':5} and len(read)<=5+16

def test_an_endless_search_of_nothing_ends(tmp_path, host):
    endless = (host.url(f'/404/{i}.jpg') for i in itertools.count())
    assert set(statuses(get(tmp_path, endless, 5, allow=host.netlocs)))=={'failed'}
    assert host.total<200

def test_memory_stays_flat(tmp_path):
    "2,000 photos of 50 KB: the second thousand takes under 12 MB more than the first, a quarter of what keeping them would"
    used = []
    def endless():
        for i in range(2000):
            if i%50==0: used.append(psutil.Process().memory_info().rss/1e6)
            yield host.url(f'/ok/{i}.jpg', i%4)
    with PhotoHost(ports=4, kb=(50,50)) as host:
        rows = get(tmp_path, endless(), 5000, timeout=20, allow=host.netlocs)
    assert statuses(rows)=={'ok':2000} and max(used[20:])-max(used[:20])<12, used

# ---- the guard: nothing on this machine or a private network is asked, by whatever name

@pytest.fixture
def net(monkeypatch):
    "`names` is host -> addresses it has, one list a question; `to` what was connected to; only loopback can be reached"
    net = SimpleNamespace(names={}, to=[])
    look_up = socket.getaddrinfo
    connect = socket.socket.connect
    def getaddrinfo(host, port, *args, **kwargs):
        name = host.decode() if isinstance(host, bytes) else host
        if name not in net.names: return look_up(host, port, *args, **kwargs)
        answers = net.names[name]
        ips = answers.pop(0) if len(answers)>1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, '', (ip, int(port or 0))) for ip in ips]
    def connect_to(sock, address):
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            net.to.append(address[0])
            if not address[0].startswith(('127.','::1')): raise OSError(101, 'Network is unreachable')
        return connect(sock, address)
    monkeypatch.setattr(socket, 'getaddrinfo', getaddrinfo)
    monkeypatch.setattr(socket.socket, 'connect', connect_to)
    return net

HERE = ('127.0.0.1 localhost localhost. LOCALHOST [::1] [::] 0.0.0.0 2130706433 0x7f000001 0177.0.0.1 127.1 127.0.0.2 '
        '[::ffff:127.0.0.1] [::ffff:7f00:1] cups.test both.test me@127.0.0.1').split()
ELSEWHERE = ('10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 224.0.0.1 255.255.255.255 [fe80::1] [fc00::1] '
    '[::ffff:10.0.0.1]').split()
NONSENSE = ['file:///etc/hostname', 'ftp://127.0.0.1/1.jpg', 'data:image/gif;base64,R0lGODlhAQ', 'javascript:alert(1)', 'cups', '//cups',
            'http://', 'http://[::1', 'http://127.0.0.1:99999/1.jpg', 'http://a b/1.jpg', 'http://%00/', 'http://'+'x'*300+'.com/']

def test_nothing_private_is_asked(tmp_path, host, net):
    net.names.update({'cups.test':[['127.0.0.1']], 'both.test':[['93.184.216.34','127.0.0.1']]})
    urls = [f'http://{o}:{host.ports[0]}/ok/{i}.jpg' for i,o in enumerate(HERE)]
    urls += [f'http://{o}/{i}.jpg' for i,o in enumerate(ELSEWHERE)]
    rows = get(tmp_path, urls+NONSENSE)
    assert host.total==0 and net.to==[]
    assert len(rows)==len(urls+NONSENSE) and statuses(rows)=={'failed':len(rows)}
    for u in urls: assert re.search('private network|0x7f|0177|no such host', u+rows[u]['reason']), u
    for o in NONSENSE: assert 0<len(rows[o]['reason'])<=400 and '\n' not in rows[o]['reason'], o

def test_a_name_that_changes_its_mind(tmp_path, host, net):
    net.names['turns.test'] = [['93.184.216.34'], ['127.0.0.1']]
    assert statuses(get(tmp_path, [f'http://turns.test:{host.ports[0]}/ok/1.jpg']))=={'failed':1}
    assert host.total==0 and set(net.to)=={'93.184.216.34'}      # What was looked up is what is connected to

def test_redirects_are_guarded_too(tmp_path, net):
    net.names['cups.test'] = [['127.0.0.1']]
    with PhotoHost() as host, PhotoHost() as other:
        goals = [f'http://{o}:{other.ports[0]}/ok/1.jpg' for o in ('127.0.0.1','localhost','cups.test','2130706433')]
        goals += [f'//127.0.0.1:{other.ports[0]}/ok/2.jpg', f'http://localhost:{host.ports[0]}/ok/3.jpg', 'http://169.254.169.254/']
        goals += ['file:///etc/passwd', 'http://[::1']
        rows = get(tmp_path, [host.url(f'/to/{i}.jpg?url={o}') for i,o in enumerate(goals)], allow=host.netlocs)
        assert other.total==0 and host.asked['/ok/3.jpg']==0 and statuses(rows)=={'failed':len(goals)}
        assert sum('private network' in r['reason'] for r in rows.values())>=6

def test_allow_names_a_host_or_a_port_of_it(tmp_path):
    with PhotoHost(ports=2) as host:
        one_port = get(tmp_path/'port', at(host, 2), allow=host.netlocs[:1])
        assert [r['status'] for r in one_port.values()]==['ok','failed']
        assert statuses(get(tmp_path/'host', at(host, 2), allow=['127.0.0.1']))=={'ok':2}

# ---- the manifest

def test_a_row_says_where_a_photo_came_from(tmp_path, host):
    for ok in ('ok','404'):
        title = 'A title, "quoted"\nin two lines, cut off in a character \ud83d'
        found = Found(host.url(f'/{ok}/1.jpg'), 'http://page.test/1', title, 'CC BY 4.0', 'Ann, Bob')
        row = get(tmp_path, [found], allow=host.netlocs)[found.image_url]
        assert (row['page_url'], row['licence'], row['creator'])==('http://page.test/1', 'CC BY 4.0', 'Ann, Bob')
        assert (row['source'], row['query'], row['label'])==('test', 'a cup', 'cups')
        assert row['title']=='A title, "quoted" in two lines, cut off in a character \\xed\\xa0\\xbd'

def test_duplicates(tmp_path, host):
    urls = [host.url('/same/1.jpg'), host.url('/same/2.jpg'), *at(host, 2), *at(host, 2)]
    rows = list(get(tmp_path, urls, allow=host.netlocs).values())
    assert sorted(r['status'] for r in rows)==['duplicate','ok','ok','ok'] and len(Dataset(tmp_path).files())==3
    assert all(n==1 for n in host.asked.values())          # The same address is asked once
    assert next(r['reason'] for r in rows if r['status']=='duplicate').startswith('the same bytes')
    get(tmp_path, [host.url('/same/3.jpg')], label='plates', allow=host.netlocs)
    assert Dataset(tmp_path).counts()=={'cups':3, 'plates':1}  # Under another label it is another photo

def test_a_higher_limit_goes_on(tmp_path, host):
    for n in (3, 8, 8):
        get(tmp_path, at(host, 20), n, allow=host.netlocs)
        assert Dataset(tmp_path).counts()=={'cups':n}
    assert set(host.asked.values())=={1}

def test_photos_that_need_no_network(tmp_path):
    def gone(): raise FileNotFoundError(2, 'No such file or directory')
    changed = Found('c', load=lambda: photo(2), sha256='0'*64)
    rows = get(tmp_path, [Found('a', load=lambda: photo(1)), Found('b', load=gone), changed])
    assert [rows[o]['status'] for o in 'abc']==['ok','failed','failed']
    assert 'No such file' in rows['b']['reason'] and 'changed' in rows['c']['reason']

def test_a_search_that_breaks_off(tmp_path, host):
    def search():
        yield from map(Found, at(host, 3))
        raise ValueError('login page')
    wanted = {'cups':('', search()), 'plates':('', [Found(host.url('/ok/9.jpg'))])}
    ends = fetch(Dataset.create(tmp_path), wanted, 9, allow=host.netlocs, quiet=True)
    assert ends=={'cups':'login page', 'plates':''} and Dataset(tmp_path).counts()=={'cups':3, 'plates':1}

def test_a_full_disk(tmp_path, monkeypatch, caplog):
    "The error that says so comes out as it is, and nothing is left running"
    def full(*args): raise DatasetError('cups_1.jpg: cannot be written (No space left on device)')
    monkeypatch.setattr(Dataset, 'store', full)
    with PhotoHost(ports=4, latency=.05) as host:
        wanted = {o: ('', [Found(host.url(f'/ok/{o}{i}.jpg', i%4)) for i in range(40)]) for o in 'ab'}
        with pytest.raises(DatasetError, match='No space left'):
            fetch(Dataset.create(tmp_path), wanted, 40, allow=host.netlocs, quiet=True)
        n = host.total
        time.sleep(.3)
        gc.collect()
        assert host.total==n and not caplog.records

def test_inside_a_running_loop_and_quiet(tmp_path, host, capfd):
    "As in a notebook, whose cells run in a loop of the kernel"
    async def cell(): return get(tmp_path, at(host, 3), allow=host.netlocs)
    assert statuses(asyncio.run(cell()))=={'ok':3} and capfd.readouterr()==('','')

# ---- interruptions

posix = pytest.mark.skipif(os.name!='posix', reason='no SIGINT to send')

def goes_on(path, host, n, least=5):
    "A second call brings the rest; what came before is not fetched twice, and no half-written file stays"
    came = [r['image_url'] for r in Dataset(path).rows if r['status']=='ok' and r['source']=='test']
    assert least<=len(came)<n
    rows = get(path, at(host, n), timeout=5, allow=host.netlocs)
    assert all(rows[o]['status'] in ('ok','duplicate') for o in at(host, n))
    assert all(host.asked['/ok/'+o.split('/')[-1]]==1 for o in came)
    assert len(Dataset(path).files())==n

@posix
def test_ctrl_c(tmp_path):
    "As a notebook's stop button: the cell's thread is interrupted, wherever the search and the photos are"
    with PhotoHost(ports=4, latency=.02) as host:
        def search():
            yield from at(host, 40)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            for i in itertools.count(40):
                time.sleep(.1)
                yield host.url(f'/ok/{i}.jpg')
        with pytest.raises(KeyboardInterrupt): get(tmp_path, search(), allow=host.netlocs)
        goes_on(tmp_path, host, 60)

CHILD = '''
import sys
from eyewear.data.dataset import Dataset
from eyewear.data.fetch import Found, fetch
path, n, timeout, *urls = sys.argv[1:]
allow = sorted({o.split('/')[2] for o in urls})
wanted = {'cups': ('a cup', map(Found, urls))}
fetch(Dataset.create(path), wanted, int(n), 'test', allow=allow, timeout=float(timeout), quiet=True)
'''
def child(path, urls, n, timeout=5):
    cmd = [sys.executable, '-c', CHILD, str(path), str(n), str(timeout), *urls]
    return subprocess.Popen(cmd, stderr=subprocess.PIPE, text=True)

def until(true, seconds=20):
    end = time.monotonic()+seconds
    while not true():
        assert time.monotonic()<end, 'waited in vain'
        time.sleep(.01)

def test_killed(tmp_path):
    with PhotoHost(ports=2, latency=.05) as host:
        p = child(tmp_path, at(host, 80), 80)
        until(lambda: host.total>=40 or p.poll() is not None)
        p.kill()
        p.communicate()
        time.sleep(.1)
        goes_on(tmp_path, host, 80, least=10)

@posix
def test_ctrl_c_while_a_host_is_silent(tmp_path):
    with PhotoHost(ports=2) as host:
        p = child(tmp_path, [*at(host, 8), host.url('/stall/1.jpg')], 20, timeout=60)
        def only_the_silent_one(): return host.asked['/stall/1.jpg'] and host.total==9 and host.now.total()==1
        until(lambda: only_the_silent_one() or p.poll() is not None)
        time.sleep(.3)
        p.send_signal(signal.SIGINT)
        start = time.monotonic()
        err = p.communicate(timeout=20)[1]
        assert time.monotonic()-start<3 and p.returncode!=0
        assert err.strip().splitlines()[-1]=='KeyboardInterrupt' and 'never retrieved' not in err
        goes_on(tmp_path, host, 20)

def test_a_photo_that_is_missing_on_disk_comes_again(tmp_path, host):
    get(tmp_path, at(host, 3), allow=host.netlocs)
    gone = Dataset(tmp_path).files()[0]
    gone.unlink()
    rows = get(tmp_path, at(host, 3), allow=host.netlocs)
    assert gone.exists() and statuses(rows)=={'ok':3} and host.total==4
