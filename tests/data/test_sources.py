"Searches of the shape that Bing and Openverse have, on loopback; the live services are not asked."
from itertools import islice
import pytest
from eyewear.data import sources
from eyewear.core import SourceError
from eyewear.data.folders import own_photos
from eyewear.data.sources import bing, bing_answers, openverse
from photohost import PhotoHost, login, repeating, urllib_goes_to

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

def links(n, start=0): return [f'https://img.test/{i}.jpg' for i in range(start, start+n)]

# -- Bing

def need_bing(): pytest.importorskip('bing_image_downloader')

def test_bing_page_after_page(host):
    need_bing()
    host.found, host.per_page = {'cups': links(90)}, 35
    found = list(bing('cups', 200))
    assert [o.image_url for o in found] == links(90)
    assert found[3].page_url == 'https://img.test/3.jpg.html' and found[3].title == 'A title & more'
    assert host.asked['/images/async'] == 4   # Three pages with photos, one without

def test_bing_is_read_no_further_than_needed(host):
    need_bing()
    host.found, host.per_page = {'cups': lambda i: f'https://img.test/{i}.jpg'}, 35
    assert len(list(islice(bing('cups', 40), 40))) == 40 and host.asked['/images/async'] == 2

@pytest.mark.parametrize('page', [repeating(links(5)), links(5)])
def test_bing_ends_where_nothing_new_comes(host, page):
    need_bing()
    host.found = {'cups': page}
    assert [o.image_url for o in bing('cups', 500)] == links(5) and host.asked['/images/async'] == 2

@pytest.mark.parametrize('page', [login, '', '<a class="iusc" m="{&quot;murl&quot;:12}"></a>'])
def test_bing_pages_without_photos(host, page):
    need_bing()
    host.found = {'cups': page, 'portrait': page}
    assert list(bing('cups', 5)) == [] and not bing_answers()

def test_bing_links_of_all_kinds(host):
    need_bing()
    odd = ['https://img.test/a b.jpg?x=1&y="2"', 'https://img.test/é/写真.jpg', 'ftp://img.test/1.jpg', 'https://img.test/'+'long'*800]
    host.found = {'cups': odd}
    assert [o.image_url for o in bing('cups', 9)] == [odd[0].replace(' ', '%20'), odd[1], odd[3]]

def test_no_network_is_a_sentence():
    need_bing()
    with urllib_goes_to('127.0.0.1:9'), pytest.raises(SourceError, match='Bing: .*refused'): next(bing('cups', 5))

# -- Openverse

def test_openverse_credits_the_maker(fast):
    fast.found = {'cups': [dict(url='https://img.test/1.jpg', title='A cup', creator='Ann', license='by', license_version='2.0'),
                           dict(url='https://img.test/2.jpg', license='cc0', license_version='1.0', creator=None, title=None),
                           dict(url='https://img.test/3.jpg', license='pdm', license_version='1.0')]}
    a, b, c = openverse('cups', 9)
    assert (a.title, a.creator, a.licence, a.page_url) == ('A cup', 'Ann', 'CC BY 2.0', 'https://stocksnap.test/photo/0')
    assert (b.title, b.creator, b.licence, c.licence) == ('', '', 'CC0 1.0', 'Public Domain Mark 1.0')

def test_openverse_keeps_to_the_limits_for_visitors(fast):
    fast.found = {'cups': lambda i: f'https://img.test/{i}.jpg'}
    assert len({o.image_url for o in openverse('cups', 500)}) == 240 and fast.asked['/v1/images/'] == 12

def test_openverse_waits_when_told(fast, monkeypatch):
    slept = []
    monkeypatch.setattr(sources.time, 'sleep', lambda s: slept.append(s) if s < 50 else fast.searched.clear())
    fast.found, fast.rate = {'cups': links(60)}, (2, 60)
    assert len(list(openverse('cups', 60))) == 60
    assert len(slept) > 0 and fast.asked['/v1/images/'] == 4   # The third page was asked for twice

def test_openverse_pace(fast, monkeypatch):
    slept = []
    monkeypatch.setattr(sources.time, 'sleep', slept.append)
    monkeypatch.setattr(sources, 'openverse_pace', 3)
    fast.found = {'cups': links(60)}
    list(openverse('cups', 60))
    assert all(2 < o <= 3 for o in slept[-2:]) and len(slept) == 3

def test_openverse_finds_nothing(fast): assert list(openverse('cups', 9)) == []

def test_openverse_errors_are_sentences(fast, monkeypatch):
    fast.found = {'cups': login}
    with pytest.raises(SourceError, match='no JSON'): next(openverse('cups', 9))
    monkeypatch.setattr(sources, 'openverse_api', fast.url('/503/'))
    with pytest.raises(SourceError, match='Openverse: 503'): next(openverse('cups', 9))
    monkeypatch.setattr(sources, 'openverse_api', 'http://127.0.0.1:9/')
    with pytest.raises(SourceError, match='cannot be reached'): next(openverse('cups', 9))

# -- A list of addresses, and a source of one's own

def test_urls_into_a_dataset(host, tmp_path, monkeypatch):
    from eyewear.download import download
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path/'home'))
    rows = [f'{o},{host.url(f"/ok/{i+10*k}.jpg")},me' for k, o in enumerate(('cups', 'plates')) for i in range(4)]
    (tmp_path/'mine.csv').write_text('label,url,creator\n'+'\n'.join(rows+[f'cups,{host.url("/404/x.jpg")},me'])+'\n')
    ds = download(tmp_path/'mine.csv', allow=['127.0.0.1'], quiet=True)
    assert ds.counts() == dict(cups=4, plates=4) and ds.source == 'mine' and {r['creator'] for r in ds.rows} == {'me'}
    assert [r['reason'] for r in ds.rows if r['status'] == 'failed'] == ['404 Not Found']

@pytest.mark.parametrize('text', ['', 'label,url\n', 'a,b\n1,2\n', '\x00\x01'])
def test_bad_lists(tmp_path, text):
    (tmp_path/'m.csv').write_text(text)
    with pytest.raises(SourceError, match='m.csv'): own_photos(tmp_path/'m.csv')

def test_a_source_of_ones_own(host, tmp_path, monkeypatch):
    from eyewear import download as dl
    from eyewear.data.fetch import Found
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path/'home'))
    def museum(query, limit):
        for i in range(3): yield Found(host.url(f'/ok/{len(query)}{i}.jpg'), licence='CC0 1.0')
        raise KeyError('page')   # A source that breaks: what came before stays
    monkeypatch.setitem(dl.sources, 'museum', museum)
    ds = dl.download('museum', 4, ['cups', 'plates'], allow=['127.0.0.1'], quiet=True)
    assert ds.counts() == dict(cups=3, plates=3) and {r['source'] for r in ds.rows} == {'museum'}

def test_half_a_character_from_a_search_ends_nothing(tmp_path):
    from eyewear.data.dataset import Dataset
    from eyewear.data.fetch import Found, fetch
    ds = Dataset.create(tmp_path/'ds')
    found = Found('a', title='smile \ud83d', page_url='https://a.test/\ud83d', load=lambda: b'no photo')
    fetch(ds, {'cups': ('', [found])}, 4, quiet=True)
    assert [r['title'] for r in Dataset(ds.path).rows] == ['smile \\xed\\xa0\\xbd'] and len(Dataset(ds.path).files()) == 1

def test_an_error_is_text_whatever_the_names_in_it(): assert str(SourceError('caf\udce9/写真')) == 'caf\\xe9/写真'
