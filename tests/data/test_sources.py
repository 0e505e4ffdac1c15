"Searches of the shape that Bing and Openverse have, on loopback, and the manifest of another dataset; the live services are not asked."
import os, subprocess, sys
from itertools import islice
from pathlib import Path
import pytest
from PIL import Image
from eyewear import download as dl
from eyewear.core import SourceError, sha256
from eyewear.data import sources
from eyewear.data.dataset import Dataset
from eyewear.data.fetch import Found, fetch
from eyewear.data.sources import bing, openverse
from photohost import PhotoHost, dishes, login, repeating, urllib_goes_to

pytestmark = pytest.mark.usefixtures('own_home')

@pytest.fixture
def host():
    with PhotoHost() as host, urllib_goes_to(host.netlocs[0]): yield host

@pytest.fixture
def fast(host, monkeypatch):
    "Openverse on loopback, asked without a pause"
    monkeypatch.setattr(sources, 'openverse_api', host.url('/v1/images/'))
    monkeypatch.setattr(sources, 'openverse_pace', 0)
    host.rate = 1000, 60
    return host

@pytest.fixture
def slept(monkeypatch):
    "The pauses that were asked for; none is made"
    pauses = []
    monkeypatch.setattr(sources.time, 'sleep', pauses.append)
    return pauses

download = dl.download

def links(n): return [f'https://img.test/{i}.jpg' for i in range(n)]
def endless(i): return f'https://img.test/{i}.jpg'
def urls(found): return [o.image_url for o in found]

# -- Bing

@pytest.fixture
def bing_host(host):
    pytest.importorskip('bing_image_downloader')
    return host

def test_bing_page_after_page(bing_host):
    bing_host.found = {'cups': links(90)}
    bing_host.per_page = 35
    found = list(bing('cups', 200))
    assert urls(found) == links(90)
    assert found[3].page_url == 'https://img.test/3.jpg.html' and found[3].title == 'A title & more'
    assert bing_host.asked['/images/async'] == 4   # Three pages with photos, one without

def test_bing_is_read_no_further_than_needed(bing_host):
    bing_host.found = {'cups': endless}
    bing_host.per_page = 35
    assert len(list(islice(bing('cups', 40), 40))) == 40
    assert bing_host.asked['/images/async'] == 2

@pytest.mark.parametrize('page', [repeating(links(5)), links(5)])
def test_bing_ends_where_nothing_new_comes(bing_host, page):
    bing_host.found = {'cups': page}
    assert urls(bing('cups', 500)) == links(5)
    assert bing_host.asked['/images/async'] == 2

@pytest.mark.parametrize('page', [login, '', '<a class="iusc" m="{&quot;murl&quot;:12}"></a>'])
def test_bing_pages_without_photos(bing_host, page):
    bing_host.found = {'cups': page, 'portrait': page}
    assert list(bing('cups', 5)) == []

def test_bing_links_of_all_kinds(bing_host):
    odd = ['https://img.test/a b.jpg?x=1&y="2"', 'https://img.test/é/写真.jpg', 'ftp://img.test/1.jpg', 'https://img.test/'+'long'*800]
    bing_host.found = {'cups': odd}
    assert urls(bing('cups', 9)) == [odd[0].replace(' ', '%20'), odd[1], odd[3]]

def test_no_network_is_a_sentence(bing_host):
    with urllib_goes_to('127.0.0.1:9'), pytest.raises(SourceError, match='Bing: .*refused'): next(bing('cups', 5))

# -- Openverse

def test_openverse_credits_the_maker(fast):
    fast.found = {'cups': [
        dict(url='https://img.test/1.jpg', title='A cup', creator='Ann', license='by', license_version='2.0'),
        dict(url='https://img.test/2.jpg', license='cc0', license_version='1.0', creator=None, title=None),
        dict(url='https://img.test/3.jpg', license='pdm', license_version='1.0')]}
    a, b, c = openverse('cups', 9)
    assert (a.title, a.creator, a.licence, a.page_url) == ('A cup', 'Ann', 'CC BY 2.0', 'https://stocksnap.test/photo/0')
    assert (b.title, b.creator, b.licence) == ('', '', 'CC0 1.0')
    assert c.licence == 'Public Domain Mark 1.0'

def test_openverse_keeps_to_the_limits_for_visitors(fast):
    fast.found = {'cups': endless}
    assert len(set(urls(openverse('cups', 500)))) == 240
    assert fast.asked['/v1/images/'] == 12

def test_openverse_waits_when_told(fast, monkeypatch):
    slept = []
    monkeypatch.setattr(sources.time, 'sleep', lambda s: slept.append(s) if s < 50 else fast.searched.clear())
    fast.found = {'cups': links(60)}
    fast.rate = 2, 60
    assert len(list(openverse('cups', 60))) == 60
    assert slept and fast.asked['/v1/images/'] == 4   # The third page was asked for twice

def test_openverse_pace(fast, slept, monkeypatch):
    monkeypatch.setattr(sources, 'openverse_pace', 3)
    fast.found = {'cups': links(60)}
    list(openverse('cups', 60))
    assert len(slept) == 3 and all(2 < o <= 3 for o in slept[-2:])

def test_openverse_finds_nothing(fast): assert list(openverse('cups', 9)) == []

@pytest.mark.parametrize('address, says', [
    ('/v1/images/', 'no JSON'), ('/503/', 'Openverse: 503'), ('/gzip/1', 'an answer of over 10 MB'), (None, 'cannot be reached')])
def test_openverse_errors_are_sentences(fast, monkeypatch, address, says):
    fast.found = {'cups': login}
    monkeypatch.setattr(sources, 'openverse_api', fast.url(address) if address else 'http://127.0.0.1:9/')
    with pytest.raises(SourceError, match=says): next(openverse('cups', 9))

# -- A source of one's own

def test_a_source_of_ones_own(host, monkeypatch):
    def museum(query, limit):
        for i in range(3): yield Found(host.url(f'/ok/{len(query)}{i}.jpg'), licence='CC0 1.0')
        raise KeyError('page')   # A source that breaks: what came before stays
    monkeypatch.setitem(dl.sources, 'museum', museum)
    ds = download('museum', 4, ['cups', 'plates'], allow=['127.0.0.1'], quiet=True)
    assert ds.counts() == dict(cups=3, plates=3)
    assert {r['source'] for r in ds.rows} == {'museum'}

# -- The manifest of another dataset

def from_web(path, host, n=4):
    "A dataset whose photos came from `host`"
    ds = Dataset.create(path)
    wanted = {}
    for k, label in enumerate(('cups', 'plates')):
        found = [Found(host.url(f'/ok/{i+10*k}.jpg'), title=f'{label} {i}') for i in range(n)]
        wanted[label] = f'words for {label}', found
    fetch(ds, wanted, n, 'my search', allow=['127.0.0.1'], quiet=True)
    return ds

@pytest.fixture
def mine(tmp_path): return dishes(tmp_path/'mine', 4)

@pytest.fixture
def copied(mine, tmp_path):
    "A dataset of three of those cups"
    ds = Dataset.create(tmp_path/'here')
    for i in range(3): ds.add(mine/'cups'/f'{i}.jpg', 'cups', source='mine', image_url=f'cups/{i}.jpg')
    return ds

def test_same_photos_and_decisions(tmp_path):
    with PhotoHost() as host:
        ds = from_web(tmp_path/'here', host)
        a, b, c = (f.name for f in ds.files()[:3])
        ds.decide(a, None, by='person', why='chipped')
        ds.decide(b, 'plates', by='key', why='flat')
        ds.decide(c, None, by='rule')
        ds.undo()
        again = download(ds.manifest, allow=['127.0.0.1'], quiet=True)
    assert again.counts() == ds.counts() == dict(cups=2, plates=5)
    assert again.digest() == ds.digest() and again.split() == ds.split()
    assert [(e['name'], e['to'], e['by']) for e in again.decisions()] == [(a, None, 'person'), (b, 'plates', 'key')]
    assert {(r['source'], r['query'], r['title'][:4]) for r in again.rows} == {
        ('my search', 'words for cups', 'cups'), ('my search', 'words for plates', 'plat')}
    assert again.source == 'my search' and dl.load_dataset().path == again.path

def test_gone_and_changed_are_said(tmp_path, capsys):
    with PhotoHost() as host:
        ds = from_web(tmp_path/'here', host)
        ds.rows[0]['image_url'] = host.url('/404/x.jpg')
        ds.rows[1]['image_url'] = host.url('/ok/99.jpg')
        ds.save()
        again = download(ds.manifest, allow=['127.0.0.1'], quiet=True)
    out = capsys.readouterr().out
    assert '6 of 8 photos are the same as they were, 1 have changed, 1 are gone' in out and '404' in out
    assert sum(again.counts().values()) == 6

def test_without_allow_nothing_here_is_asked(tmp_path):
    with PhotoHost() as host:
        ds = from_web(tmp_path/'here', host)
        before = host.total
        assert not download(ds.manifest, quiet=True).files()
        assert host.total == before

def test_files_of_a_folder_need_a_copy_of_it(copied, mine, capsys):
    assert not download(copied.manifest, quiet=True).files()
    assert '--source' in capsys.readouterr().out
    assert download(copied.manifest, folder=mine, quiet=True).digest() == copied.digest()

def test_a_source_is_looked_at_before_a_long_run(copied, mine):
    for o in ('practice', 'bing', copied.manifest, mine): sources.check_source(str(o), dl.sources)
    with pytest.raises(SourceError, match='neither a folder nor one of practice, bing'): sources.check_source('x', dl.sources)

def test_a_copy_goes_with_a_manifest_only(mine):
    with pytest.raises(SourceError, match='no manifest of a dataset'): download(mine, folder=mine)

def test_drawings_are_drawn_again(tmp_path):
    practice = pytest.importorskip('eyewear.data.practice')
    ds = practice.make_practice(Dataset.create(tmp_path/'here'), 4)
    assert download(ds.manifest, quiet=True).digest() == ds.digest()

def test_after_following_a_folder_that_changed(mine, capsys):
    download(mine, quiet=True)
    (mine/'cups'/'0.jpg').rename(mine/'plates'/'x.jpg')
    Image.new('RGB', (9, 9), 'red').save(mine/'cups'/'1.jpg')
    cups = os.fsencode(mine/'cups')
    for old, new in ((b'/2.jpg', b'/caf\xe9.jpg'), (b'/3.jpg', b'/two\nlines.jpg')): os.rename(cups+old, cups+new)
    ds = download(mine, quiet=True)
    assert {'cups/caf\\xe9.jpg', 'cups/two\\nlines.jpg'} <= {r['image_url'] for r in ds.rows}
    again = download(ds.manifest, folder=mine, quiet=True)
    assert '8 of 8 photos are the same' in capsys.readouterr().out
    assert again.digest() == ds.digest() and again.counts() == dict(cups=3, plates=5)

def manifest(path, label, url, data, source='mine'):
    "A manifest of one photo, as a stranger may write it"
    path.write_text(f'label,image_url,sha256,source\n{label},{url},{sha256(data)},{source}\n', encoding='utf-8')
    return path

@pytest.mark.parametrize('label, url, source, says', [
    ('../../victim', 'cups/0.jpg', 'mine', "the label '../../victim' has a character"),
    ('cups', 'practice:x', 'practice', 'no practice portrait'),
    ('glasses', 'practice:0/99999999/glasses/1', 'practice', 'no practice portrait')])
def test_a_manifest_of_a_stranger(tmp_path, mine, own_home, label, url, source, says):
    path = manifest(tmp_path/'m.csv', label, url, (mine/'cups'/'0.jpg').read_bytes(), source)
    with pytest.raises(SourceError, match=says): download(path, folder=mine, quiet=True)
    assert not (tmp_path/'victim').exists() and not own_home.exists()

@pytest.mark.parametrize('url', ['../outside.png', '/dev/zero', '{tmp}/outside.png'])
def test_nothing_outside_the_copy_is_read(tmp_path, mine, url):
    Image.new('RGB', (9, 9)).save(tmp_path/'outside.png')
    path = manifest(tmp_path/'m.csv', 'cups', url.format(tmp=tmp_path), (tmp_path/'outside.png').read_bytes())
    assert not download(path, folder=mine, quiet=True).files()

@pytest.mark.parametrize('text', ['', 'a,b\n1,2\n', 'label,image_url,sha256,source\n', 'label,image_url,sha256,source\ncups,a,,b\n'])
def test_no_manifest(tmp_path, text):
    (tmp_path/'m.csv').write_text(text)
    with pytest.raises(SourceError, match='m.csv'): download(tmp_path/'m.csv')

def test_the_command(tmp_path, own_home, copied, mine):
    def run(*args):
        command = Path(sys.executable).with_name('eyewear-download')
        return subprocess.run([command, *args], capture_output=True, text=True, timeout=120)
    res = run('--from', copied.manifest, '--source', mine)
    assert res.returncode == 0 and '3 of 3 photos are the same' in res.stdout, res.stderr
    [path] = own_home.glob('again-*')
    assert Dataset(path).digest() == copied.digest()
    assert '3 photos' in (path/'ATTRIBUTION.md').read_text()
    res = run('--from', tmp_path/'nowhere.csv')
    assert res.returncode == 2 and len(res.stderr.splitlines()) == 1 and 'nowhere.csv' in res.stderr
