"Lesson 01 against a Bing on loopback, folders of all kinds, and interruptions."
import contextlib, csv, html, http.client, io, json, os, signal, socket, subprocess, sys, threading, time, urllib.request
from importlib.util import find_spec
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
import numpy as np
import pytest
from PIL import Image
from eyewear import download as dl
from eyewear.core import DatasetError, SourceError, sha256
from eyewear.data.dataset import Dataset
from eyewear.photo import photo_sheet
from eyewear.data.sources import bing_answers

need_bing = pytest.mark.skipif(not find_spec('bing_image_downloader'), reason='the tutorial extra is not installed')

def jpeg(i, size=(48,40)):
    "A photo of its own for each number"
    b = io.BytesIO()
    Image.fromarray(np.random.default_rng(i).integers(0, 255, (size[1],size[0],3), dtype=np.uint8)).save(b, 'JPEG')
    return b.getvalue()

def dishes(path, n=5, **extra):
    "A folder with `n` photos of cups and as many of plates"
    for i,label in enumerate(['cups','plates']):
        (path/label).mkdir(parents=True)
        for j in range(n): (path/label/f'{j}.jpg').write_bytes(jpeg(100*i+j))
    return path

@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    "A home of its own, nothing set, and no way out to the network"
    for o in 'SOURCE LIMIT LABELS RUN'.split(): monkeypatch.delenv(f'EYEWEAR_{o}', raising=False)
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path/'home'))
    install(no_network)
    yield tmp_path/'home'
    urllib.request.install_opener(None)

@pytest.fixture
def drawn(monkeypatch):
    "Ten grey squares in place of the practice portraits, which have tests of their own"
    calls = []
    def fake(ds, labels, limit):
        calls.append(limit)
        for i,o in enumerate(labels):
            for j in range(5): ds.add(jpeg(1000*i+j), o, source='practice', image_url=f'{o} {j}')
    monkeypatch.setattr('eyewear.data.sources.draw_practice', fake)
    return calls

# ---- a Bing on loopback

def no_network(host, **kwargs): raise OSError(101, 'Network is unreachable')

def install(connect):
    "All of urllib goes where `connect` says"
    class To(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
        def https_open(self, req): return self.do_open(connect, req)
        http_open = https_open
    urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({}), To))

class Bing:
    "What the stub answers: `found` is search words -> addresses; addresses end in what they do"
    def __init__(self): self.found,self.searches,self.fetched,self.login,self.endless,self.on_fetch = {},[],[],False,False,lambda path: None
    def page(self, q):
        ms = [json.dumps(dict(murl=u, purl=u+'.html', t='a title & more'), separators=(',',':')) for u in self.found.get(q, [])]
        return ''.join(f'<a class="iusc" href="#" m="{html.escape(m)}"></a>' for m in ms)
    def find(self, label, n, bad=()):
        "Let the search for `label` find `n` photos, and `bad` ones before them"
        q = dl.query_dict.get(label, label)
        self.found[q] = [f'{self.host}/{label}/{o}' for o in bad]+[f'{self.host}/{label}/{i}.jpg?w=1&h=2' for i in range(n)]

@pytest.fixture
def bing():
    "The stub, and urllib pointed at it"
    stub = Bing()
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args): pass
        def send(self, code, data, kind='text/html'):
            self.send_response(code); self.send_header('Content-Type', kind); self.send_header('Content-Length', str(len(data)))
            self.end_headers(); self.wfile.write(data)
        def do_GET(self):
            url = urlsplit(self.path)
            if self.headers['Host']=='www.bing.com':
                ask = {k:v[0] for k,v in parse_qs(url.query).items()}
                stub.searches.append(ask)
                if stub.login: return self.send(200, b'<html>Please log in to this hotel</html>')
                return self.send(200, (stub.page(ask['q']) if ask['first']=='0' or stub.endless else '<html>nothing</html>').encode())
            stub.fetched.append(url.path)
            stub.on_fetch(url.path)
            _,label,name = url.path.split('/')
            if 'gone' in name: return self.send(404, b'gone')
            if 'page' in name: return self.send(200, b'<html>You need an account</html>')
            if 'cut' in name:
                self.send_response(200); self.send_header('Content-Length', '9999'); self.end_headers()
                return self.wfile.write(jpeg(1)[:200])
            same = name=='same.jpg'
            self.send(200, jpeg(0 if same else int(sha256(url.path.encode())[:6], 16)), 'image/jpeg')
    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    stub.host = f'http://127.0.0.1:{server.server_port}'
    threading.Thread(target=server.serve_forever, daemon=True).start()
    install(lambda host, timeout=5, **kw: http.client.HTTPConnection('127.0.0.1', server.server_port, timeout=timeout))
    yield stub
    server.shutdown(); server.server_close()

def get(*args, **kwargs): return dl.download(*args, allow=['127.0.0.1'], timeout=1, tries=2, **kwargs)

def find_all(bing, n=6, **bad):
    for o in dl.query_dict: bing.find(o, n, bad.get(o, ()))

# ---- Bing

def test_the_seeds_words():
    assert dl.query_dict == {'glasses':'(man OR woman) portrait glasses', 'sunglasses':'(man OR woman) portrait sunglasses',
        'VR':'(man OR woman) portrait VR headset', 'none':"(man OR woman) portrait NOT glasses NOT sunglasses NOT 'VR headset'"}
    assert dl.eyewear_types == ['glasses', 'sunglasses', 'VR', 'none']

@need_bing
def test_bing(bing, home):
    find_all(bing, 6, glasses=['gone.jpg','page.jpg','cut.jpg'])
    ds = get('bing', 5)
    assert ds.path==home/'bing-5' and ds.source=='bing' and ds.labels==dl.eyewear_types
    assert ds.counts()==dict.fromkeys(dl.eyewear_types, 5)
    assert {o['adlt'] for o in bing.searches}=={'on'} and {o['q'] for o in bing.searches}==set(dl.query_dict.values())
    for f in ds.files():
        row = ds.row(f.name)
        assert f.name==f'{f.parent.name}_{row["sha256"][:16]}.jpg' and row['source']=='bing' and row['query']==dl.query_dict[f.parent.name]
        assert row['image_url'].startswith(f'{bing.host}/{f.parent.name}/') and '&h=2' in row['image_url']
        assert row['page_url']==row['image_url']+'.html' and row['title']=='a title & more'
    failed = {o['image_url'].split('/')[-1]: o['reason'] for o in ds.rows if o['status']=='failed'}
    assert set(failed)=={'gone.jpg','page.jpg','cut.jpg'} and '404' in failed['gone.jpg'] and 'not a photo' in failed['page.jpg'] and 'cut off' in failed['cut.jpg']

@need_bing
def test_a_second_time_asks_nobody(bing, home):
    find_all(bing)
    a = get('bing', 5)
    n = len(bing.searches), len(bing.fetched)
    install(no_network)
    b = get('bing', 5)
    assert a.digest()==b.digest() and (len(bing.searches), len(bing.fetched))==n

@need_bing
def test_safesearch_off_only_when_asked(bing, home):
    find_all(bing)
    on,off = get('bing', 5), get('bing', 5, adult_filter_off=True)
    assert {o['adlt'] for o in bing.searches}=={'on','off'} and on.path!=off.path

@need_bing
def test_fewer_than_asked_for_and_the_same_photo_twice(bing, home, capsys):
    find_all(bing, 3, VR=['same.jpg'])
    bing.found[dl.query_dict['VR']].append(f'{bing.host}/copy/same.jpg')
    ds = get('bing', 9)
    assert ds.counts()=={'glasses':3, 'sunglasses':3, 'VR':4, 'none':3}
    assert [o['status'] for o in ds.rows if 'same' in o['image_url']]==['ok','duplicate']
    n = len(bing.searches)
    get('bing', 9)
    assert len(bing.searches)==n  # Bing has no more: not asked again

@need_bing
def test_nothing_found(bing, home):
    find_all(bing)
    bing.found[dl.query_dict['VR']] = []
    with pytest.raises(SourceError, match='no photos for VR.*VR headset'): get('bing', 5)
    assert Dataset(home/'bing-5').counts()=={'glasses':5, 'sunglasses':5, 'none':5}  # Nothing lost
    assert not (home/'current.txt').exists()
    bing.find('VR', 6)
    assert get('bing', 5).counts()['VR']==5

@need_bing
def test_other_words(bing, home):
    bing.find('cups', 5); bing.find('VR', 5)
    assert get('bing', 5, ['cups','VR']).counts()=={'cups':5, 'VR':5}
    assert {o['q'] for o in bing.searches}=={'cups', dl.query_dict['VR']}

@need_bing
def test_changed_words_get_a_folder_of_their_own(bing, home, monkeypatch, capsys):
    find_all(bing)
    old = get('bing', 5)
    assert 'other words' not in capsys.readouterr().out
    monkeypatch.setitem(dl.query_dict, 'VR', 'diving mask')
    bing.found['diving mask'] = [f'{bing.host}/mask/{i}.jpg' for i in range(6)]
    new = get('bing', 5)
    assert capsys.readouterr().out.splitlines()==[f'bing-5/ has photos that other words have found: using {new.path.name}/']
    assert new.path!=old.path and {r['query'] for r in new.rows if r['label']=='VR'}=={'diving mask'}
    assert {r['query'] for r in Dataset(old.path).rows}=={*(v for k,v in dl.query_dict.items() if k!='VR'), '(man OR woman) portrait VR headset'}
    monkeypatch.setenv('EYEWEAR_SOURCE', 'bing'); monkeypatch.setenv('EYEWEAR_LIMIT', '5')
    n = len(bing.searches)
    assert get('bing', 5).path==dl.load_dataset().path==new.path and len(bing.searches)==n   # On disk already
    monkeypatch.setitem(dl.query_dict, 'VR', '(man OR woman) portrait VR headset')
    assert get('bing', 5).path==old.path and len(bing.searches)==n

@need_bing
def test_new_labels_in_query_dict(bing, home, monkeypatch):
    find_all(bing)
    old = get('bing', 5)
    bing.find('cups', 6); bing.find('plates', 6)
    with monkeypatch.context() as m:
        m.setattr(dl, 'query_dict', {'cups':'cups', 'plates':'plates'}); m.setattr(dl, 'eyewear_types', ['cups','plates'])
        new = get('bing', 5)
        assert new.counts()=={'cups':5, 'plates':5} and new.path!=old.path and not (old.path/'cups').exists()
    m = len(bing.searches)
    monkeypatch.setattr(dl, 'query_dict', {**dl.query_dict, 'cups':'cups'}); monkeypatch.setattr(dl, 'eyewear_types', list(dl.query_dict))
    assert get('bing', 5).path==old.path and {o['q'] for o in bing.searches[m:]}=={'cups'}   # One more is added to what is there

@need_bing
def test_words_that_found_nothing_may_be_changed(bing, home, monkeypatch):
    find_all(bing)
    bing.found[dl.query_dict['VR']] = []
    with pytest.raises(SourceError, match='no photos for VR'): get('bing', 5)
    monkeypatch.setitem(dl.query_dict, 'VR', 'diving mask')
    bing.found['diving mask'] = [f'{bing.host}/mask/{i}.jpg' for i in range(6)]
    assert get('bing', 5).path==home/'bing-5'

def test_fewer_labels_of_the_practice_portraits(home, monkeypatch):
    pytest.importorskip('eyewear.data.practice')
    old = dl.download('practice', 4)
    monkeypatch.setattr(dl, 'query_dict', {k: v for k,v in dl.query_dict.items() if k!='VR'})
    new = dl.download('practice', 4)
    assert new.path!=old.path and 'VR' not in new.labels and Dataset(old.path).labels[2:3]==['VR']

@need_bing
def test_no_network(home):
    with pytest.raises(SourceError) as e: get('bing')
    assert 'unreachable' in str(e.value) and '\n' not in str(e.value) and 'SOURCE=practice' in str(e.value)

@need_bing
def test_network_lost_on_the_way(bing, home):
    find_all(bing)
    def lose(path):
        if len(bing.fetched)>9: raise ConnectionAbortedError
    bing.on_fetch = lose
    with contextlib.suppress(SourceError): get('bing', 6)  # A label may have got none
    ds = Dataset(home/'bing-6')
    came = {o['image_url'] for o in ds.rows if o['status']=='ok'}
    assert len(came)==9 and all('closed without an answer' in o['reason'] for o in ds.rows if o['status']=='failed')

@need_bing
def test_ctrl_c(bing, home):
    find_all(bing)
    def stop(path):
        if len(bing.fetched)==9: os.kill(os.getpid(), signal.SIGINT)
        if len(bing.fetched)>=9: time.sleep(.9)
    bing.on_fetch = stop
    with pytest.raises(KeyboardInterrupt): get('bing', 6)
    n = sum(Dataset(home/'bing-6').counts().values())
    assert n<24 and not (home/'current.txt').exists()
    bing.on_fetch = lambda path: None
    ds = get('bing', 6)
    assert ds.counts()==dict.fromkeys(dl.eyewear_types, 6) and {o['status'] for o in ds.rows}=={'ok'}
    assert len(bing.fetched)-24<=16  # What was under way, at most, is asked for twice

@need_bing
def test_a_failed_photo_may_come_later(bing, home):
    find_all(bing, 4, none=['gone.jpg'])
    with pytest.raises(SourceError):
        bing.found[dl.query_dict['none']] = bing.found[dl.query_dict['none']][:1]
        get('bing', 5)
    bing.found[dl.query_dict['none']] = [f'{bing.host}/none/here.jpg', f'{bing.host}/none/1.jpg']
    ds = get('bing', 5)
    assert ds.counts()['none']==2 and [o['reason'] for o in ds.rows if o['status']=='failed']==[]  # Not found any more

# ---- auto

def test_auto_without_network(home, drawn, capsys):
    ds = get(limit=40)
    assert ds.source=='practice' and ds.path.name=='practice-40' and drawn==[40]
    assert capsys.readouterr().out.splitlines()==['Bing cannot be reached: using the drawn practice portraits']

@need_bing
def test_auto_with_network(bing, home, drawn):
    find_all(bing); bing.find('portrait', 2)
    assert get(limit=5).source=='bing' and not drawn

@need_bing
def test_auto_keeps_what_bing_gave(bing, home, drawn):
    find_all(bing); bing.find('portrait', 2)
    get(limit=5)
    install(no_network)
    assert get(limit=5).source=='bing' and not drawn

@need_bing
def test_auto_where_bing_finds_nothing(bing, home, drawn, capsys):
    bing.find('portrait', 2)
    assert get(limit=5).source=='practice'
    assert 'no photos for glasses' in capsys.readouterr().out

def test_a_login_page_is_no_bing(bing):
    bing.find('portrait', 2)
    assert bing_answers()
    bing.login = True
    assert not bing_answers()

def test_the_question_is_bounded():
    import time
    def slow(host, **kw): time.sleep(30)
    install(slow)
    t = time.monotonic()
    assert not bing_answers(.3) and time.monotonic()-t<3

@need_bing
def test_a_search_without_end_is_ended(bing, home):
    find_all(bing)
    pages = iter(range(10**6))
    bing.page = lambda q: ''.join(f'<a class="iusc" m="{html.escape(json.dumps(dict(murl=f"{bing.host}/x/gone{next(pages)}"), separators=(",",":")))}"></a>' for _ in range(9))
    bing.endless = True
    with pytest.raises(SourceError, match='no photos for'): get('bing', 5)
    assert len(bing.fetched)<=4*(5*5+50)

# ---- folders

def shot(path): return {str(f): (f.stat().st_mtime_ns, f.read_bytes() if f.is_file() else None) for f in sorted(path.rglob('*'))}

def test_cups_and_plates(tmp_path, home):
    mine = dishes(tmp_path/'dishes')
    before = shot(mine)
    ds = dl.download(mine)
    assert ds.counts()=={'cups':5, 'plates':5} and ds.source=='dishes' and ds.path.parent==home
    assert ds.path.name=='dishes-'+sha256(str(mine.resolve()).encode())[:6]
    assert {(o['source'], o['image_url']) for o in ds.rows}=={('dishes', f'{o}/{i}.jpg') for o in ('cups','plates') for i in range(5)}
    ds.decide(ds.files()[0].name, None, by='person')
    (mine/'cups'/'new.jpg').write_bytes(jpeg(77))
    again = dl.download(str(mine))
    assert again.counts()=={'cups':5, 'plates':5} and len(again.rows)==11  # One taken out, one new
    (mine/'cups'/'new.jpg').unlink()
    assert {k for k in shot(mine) if shot(mine)[k][1]}=={k for k in before if before[k][1]}

def test_query_dicts_labels_and_what_is_left_out(tmp_path, home, capsys):
    for o in (*dl.query_dict, 'offtopic', '.hidden', '__MACOSX'):
        (tmp_path/'p'/o).mkdir(parents=True); (tmp_path/'p'/o/'a.jpg').write_bytes(jpeg(len(o)))
    assert dl.download(tmp_path/'p').labels==dl.eyewear_types
    assert capsys.readouterr().out=='offtopic/: left out (no label of query_dict)\n'
    two = dl.download(tmp_path/'p', labels=['VR','offtopic'])
    assert two.labels==['VR','offtopic']
    assert capsys.readouterr().out=='glasses/, none/, sunglasses/: left out (no label of LABELS)\n'
    assert dl.download(tmp_path/'p').path!=two.path and dl.download(tmp_path/'p', labels=list(dl.query_dict)[::-1]).labels

def test_what_is_no_photo(tmp_path, home, capsys):
    mine = dishes(tmp_path/'dishes', 3)
    (mine/'cups'/'Thumbs.db').write_bytes(b'x'); (mine/'cups'/'.DS_Store').write_bytes(b'x'); (mine/'readme.txt').write_text('x')
    for name,data in {'broken.jpg':jpeg(9)[:99], 'page.jpeg':b'<html>', 'empty.png':b''}.items(): (mine/'cups'/name).write_bytes(data)
    (mine/'cups'/'deeper').mkdir(); (mine/'cups'/'deeper'/'Ä photo (1).JPG').write_bytes(jpeg(8))
    ds = dl.download(mine)
    assert ds.counts()=={'cups':7, 'plates':3}  # Broken ones too: lesson 02 finds them
    assert not capsys.readouterr().out  # What a system leaves is no photo of yours
    (mine/'cups'/'notes.txt').write_bytes(b'x')
    dl.download(mine)
    assert capsys.readouterr().out=='cups/: 1 files left out, they do not end like photos\n'
    assert sum(o['width']=='' for o in ds.rows)==3

def test_limit(tmp_path, home, capsys):
    ds = dl.download(dishes(tmp_path/'d', 9), limit=4)
    assert ds.counts()=={'cups':4, 'plates':4} and ds.path.name.endswith('-4')
    assert 'cups/: 4 of 9 photos taken (LIMIT=4)' in capsys.readouterr().out

def test_interrupted_copy(tmp_path, home, monkeypatch):
    mine,store = dishes(tmp_path/'dishes'),Dataset.store
    def stop(self, *args, **kw):
        if len(self.rows)>=4: os.kill(os.getpid(), signal.SIGINT)
        return store(self, *args, **kw)
    with monkeypatch.context() as m:
        m.setattr(Dataset, 'store', stop)
        with pytest.raises(KeyboardInterrupt): dl.download(mine)
    assert not (home/'current.txt').exists()
    ds = dl.download(mine)
    assert ds.counts()=={'cups':5, 'plates':5} and len(ds.rows)==10

def test_killed_between_photo_and_row(tmp_path, home, monkeypatch):
    mine,append = dishes(tmp_path/'dishes'),Dataset.append
    def die(self, row):
        if len(self.rows)==7: raise RuntimeError('killed')
        return append(self, row)
    with monkeypatch.context() as m:
        m.setattr(Dataset, 'append', die)
        with pytest.raises(RuntimeError): dl.download(mine)
    ds = dl.download(mine)
    assert ds.counts()=={'cups':5, 'plates':5} and {o['status'] for o in ds.rows}=={'ok'} and {o['source'] for o in ds.rows}=={'dishes'}

@pytest.mark.parametrize('kwargs, says', [
    (dict(source='no_such'), 'SOURCE=no_such: neither a folder nor one of auto, practice, bing, openverse'),
    (dict(labels=['cups','spoons']), 'LABELS=cups,spoons: .* has no spoons; it has bowls, cups, plates'),
    (dict(labels=['cups']), 'two labels or more'), (dict(labels=['cups','cups']), 'two labels or more'),
    (dict(labels=['cups','../dishes/plates']), "'../dishes/plates' cannot be a label, it has a character that no folder name may have"),
    (dict(), 'no photos for the label bowls'), (dict(limit=2), 'LIMIT=2')])
def test_folder_errors(tmp_path, home, kwargs, says):
    mine = dishes(tmp_path/'dishes')
    (mine/'bowls').mkdir()
    with pytest.raises(SourceError, match=says) as e: dl.download(**{'source':mine, **kwargs})
    assert '\n' not in str(e.value) and not (home/'current.txt').exists()

def test_practice_has_four_labels(home, drawn):
    assert dl.download('practice', 40, ['VR','none']).labels==['VR','none']
    with pytest.raises(SourceError, match='practice has no cups'): dl.download('practice', 40, ['VR','cups'])

def test_practice_does_not_mind_the_order(home, monkeypatch):
    practice,calls = pytest.importorskip('eyewear.data.practice'),[]
    monkeypatch.setattr('eyewear.data.sources.need', lambda *args: None)
    monkeypatch.setattr(practice, 'make_practice', lambda ds, limit, labels: calls.append(labels))
    assert dl.download('practice', 40, ['none','VR']).path==dl.download('practice', 40, ['VR','none']).path
    assert calls==[['VR','none']]*2  # The plan of the trouble, and with it the answer key, depends on the order

# ---- what the other lessons open

def test_load_dataset(tmp_path, home, drawn, monkeypatch, capsys):
    assert dl.load_dataset().path.name=='practice-40' and drawn==[40]
    assert 'drawing a few practice portraits' in capsys.readouterr().out
    own = dl.download(dishes(tmp_path/'dishes'))
    capsys.readouterr()
    assert dl.load_dataset().path==own.path and dl.load_dataset().source=='dishes' and not capsys.readouterr().out
    monkeypatch.setenv('EYEWEAR_SOURCE', 'practice'); monkeypatch.setenv('EYEWEAR_LIMIT', '40')
    assert dl.load_dataset().path.name=='practice-40' and drawn==[40]  # On disk already
    monkeypatch.setenv('EYEWEAR_SOURCE', str(tmp_path/'dishes')); monkeypatch.setenv('EYEWEAR_LIMIT', '150')
    monkeypatch.setenv('EYEWEAR_LABELS', 'plates,cups')
    assert dl.load_dataset().counts()=={'plates':5, 'cups':5}

# ---- the command, and what importing costs

def run(*args, **env):
    "The console script as a shell would run it, with no way to Bing"
    dead = dict.fromkeys('http_proxy https_proxy HTTP_PROXY HTTPS_PROXY'.split(), 'http://127.0.0.1:9')
    cmd = [str(Path(sys.executable).with_name('eyewear-download')), *map(str, args)]
    return subprocess.run(cmd, capture_output=True, text=True, env={**os.environ, **dead, **env}, timeout=120)

def test_help():
    r = run('--help')
    assert r.returncode==0 and all(o in r.stdout for o in ('--source', '--limit', '--labels'))

def test_command(tmp_path, home):
    r = run('--source', dishes(tmp_path/'dishes'), '--labels', 'plates, cups')
    assert r.returncode==0 and '5 cups' in r.stdout and '10 photos from dishes' in r.stdout and not r.stderr

@pytest.mark.parametrize('args, env, says', [
    (['--source','no_such'], {}, 'no_such'), (['--source','bing'], {}, 'bing: no photos for glasses'),
    ([], dict(EYEWEAR_LIMIT='many'), 'LIMIT=many'), ([], dict(EYEWEAR_LIMIT='²'), 'LIMIT='), (['--limit','0'], {}, 'LIMIT=0'), (['--limit','-3'], {}, 'LIMIT=-3'),
    (['--limit','x'], {}, 'LIMIT=x'), (['--source','no.csv'], {}, 'no.csv: cannot be read'), (['--source','practice'], dict(EYEWEAR_HOME=__file__), 'cannot be made')])
def test_command_errors(home, args, env, says):
    r = run(*args, **env)
    assert r.returncode==2 and says in r.stderr and len(r.stderr.splitlines())==1

def test_started_among_the_photos(tmp_path, monkeypatch):
    mine = dishes(tmp_path/'dishes')
    monkeypatch.delenv('EYEWEAR_HOME')
    monkeypatch.chdir(mine)
    for _ in range(2): assert '10 photos from dishes' in run('--source', '.').stdout
    assert sorted(o.name for o in (mine/'work').iterdir() if o.is_dir())==[dl.load_dataset().path.name]

def test_a_label_with_a_comma(tmp_path):
    mine = dishes(tmp_path/'dishes')
    (mine/'cups').rename(mine/'cups, mugs')
    for o in ('"cups, mugs",plates', 'cups, mugs,plates'): assert '5 cups, mugs' in run('--source', mine, '--labels', o).stdout
    assert '5 cups, mugs' in run('--source', mine, EYEWEAR_LABELS='"cups, mugs",plates').stdout

ascii_locale = dict(PYTHONCOERCECLOCALE='0', PYTHONUTF8='0', LC_ALL='C')

@pytest.mark.parametrize('env', [ascii_locale, dict(PYTHONIOENCODING='cp1252'), dict(PYTHONIOENCODING='ascii')])
def test_names_of_a_source_that_a_terminal_cannot_show(tmp_path, home, env):
    mine = dishes(tmp_path/'写真')
    os.rename(mine/'cups'/'1.jpg', os.fsencode(mine/'cups')+b'/caf\xe9.jpg')
    (mine/'cups'/'2.jpg').rename(mine/'cups'/'杯.jpg')
    for _ in range(2):
        r = run('--source', mine, **env)
        assert r.returncode==0 and '10 photos' in r.stdout and not r.stderr
    assert {'cups/caf\\xe9.jpg', 'cups/杯.jpg'}<={o['image_url'] for o in Dataset(home/(home/'current.txt').read_text(encoding='utf-8')).rows}

@pytest.mark.parametrize('env', [ascii_locale, {}])
def test_a_label_that_is_no_text_is_one_line(tmp_path, env):
    mine = dishes(tmp_path/'dishes')
    os.rename(mine/'cups', os.fsencode(mine)+b'/caf\xe9')
    r = run('--source', mine, **env)
    assert r.returncode==2 and 'caf\\xe9' in r.stderr and 'another name' in r.stderr and len(r.stderr.splitlines())==1

def test_a_source_whose_name_is_no_text(tmp_path):
    os.rename(dishes(tmp_path/'dishes'), os.fsencode(tmp_path)+b'/caf\xe9')
    ds = dl.download(os.fsdecode(os.fsencode(tmp_path)+b'/caf\xe9'))
    assert len(ds.files())==10 and ds.source=='caf\\xe9' and ds.path.name.startswith('caf_-') and len(Dataset(ds.path).files())==10

def test_a_very_long_name(tmp_path): assert len(dl.download(dishes(tmp_path/('n'*250))).files())==10

@pytest.mark.parametrize('text, says', [
    ('cups,http://nowhere.invalid/1.jpg\nplates,http://nowhere.invalid/2.jpg', 'm: no photo for cups came; http://nowhere.invalid/1.jpg: cannot be reached .nowhere.invalid'),
    ('cups,gone.jpg\nplates,gone.jpg', 'm: no photo for cups came; gone.jpg: cannot be read .no such file')])
def test_errors_of_a_list_name_the_reason(tmp_path, monkeypatch, text, says):
    monkeypatch.setattr(socket, 'getaddrinfo', lambda *args, **kwargs: no_network(None)) # Not even a name is asked for
    (tmp_path/'m.csv').write_text(f'label,url\n{text}\n', encoding='utf-8')
    with pytest.raises(SourceError, match=says) as e: get(tmp_path/'m.csv', quiet=True)
    assert 'query_dict' not in str(e.value)

def test_some_of_a_list_did_not_come(tmp_path, capsys):
    mine = dishes(tmp_path/'dishes')
    (mine/'m.csv').write_text('label;file\n'+''.join(f'{o};{o}/{i}.jpg\n' for o in ('cups','plates') for i in range(4))+'cups;cups/9.jpg\n', encoding='utf-8')
    assert dl.download(mine/'m.csv', quiet=True).counts()=={'cups':4, 'plates':4}
    assert capsys.readouterr().out=='cups: 1 photo(s) did not come, among them cups/9.jpg: cannot be read (no such file)\n'

@pytest.mark.parametrize('limit', [0, -3, 3, 'x', '²', 4.5, '9'*5000])
def test_limits_that_are_none(tmp_path, limit):
    with pytest.raises(SourceError, match='give a whole number') as e: dl.download(dishes(tmp_path/'dishes'), limit)
    assert len(str(e.value))<120

def test_light_import():
    heavy = 'torch fastai fastbook matplotlib bing_image_downloader eyewear.data.practice'
    code = f'import sys, eyewear.download; print([o for o in "{heavy}".split() if o in sys.modules])'
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout.strip()=='[]'

def test_photo_sheet(tmp_path, home):
    pytest.importorskip('matplotlib').use('agg')
    mine = dishes(tmp_path/'dishes', 3)
    (mine/'plates'/'bad.jpg').write_bytes(b'no')
    fig = photo_sheet(dl.download(mine).by_label(), n=5)
    said = [t.get_text() for ax in fig.axes for t in ax.texts]
    assert 'cups' in said and 'plates' in said and sum('cannot' in o for o in said)==1
    out = io.BytesIO(); fig.savefig(out); assert len(out.getvalue())<200_000
    assert len(photo_sheet([jpeg(1), Image.new('RGB', (9,5))], ['one','two'], n=4).axes)==4
