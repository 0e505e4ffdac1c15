"Lesson 01 against a Bing on loopback, folders of all kinds, and interruptions."
import io, os, re, signal, socket, subprocess, sys, time, urllib.request
from pathlib import Path
import pytest
from PIL import Image
from eyewear import download as dl
from eyewear.core import SourceError, sha256
from eyewear.data import sources
from eyewear.data.dataset import Dataset
from eyewear.photo import photo_sheet
from photohost import PhotoHost, dishes, photo as jpeg, urllib_connects, urllib_goes_to

@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    "A home of its own, nothing set, and no way out to the network"
    for o in 'SOURCE LIMIT LABELS RUN'.split(): monkeypatch.delenv(f'EYEWEAR_{o}', raising=False)
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path/'home'))
    urllib_connects(no_network)
    yield tmp_path/'home'
    urllib.request.install_opener(None)

@pytest.fixture
def mine(tmp_path): return dishes(tmp_path/'dishes')

@pytest.fixture
def drawn(monkeypatch):
    "Ten grey squares in place of the practice portraits, which have tests of their own"
    calls = []
    def fake(ds, labels, limit):
        calls.append(limit)
        for i, label in enumerate(labels):
            for j in range(5): ds.add(jpeg(1000*i+j), label, source='practice', image_url=f'{label} {j}')
    monkeypatch.setattr(sources, 'draw_practice', fake)
    return calls

def set_words(monkeypatch, **words): monkeypatch.setattr(dl, 'query_dict', words)

# -- A Bing on loopback

def no_network(host, **kwargs): raise OSError(101, 'Network is unreachable')

class Bing(PhotoHost):
    "A Bing whose photos are found by label"
    def find(self, label, n, bad=()):
        "Let the search for `label` find `n` photos, and answers of the kinds `bad` before them"
        paths = [*(f'/{kind}/{label}.jpg' for kind in bad), *(f'/ok/{label}-{i}.jpg?w=1&h=2' for i in range(n))]
        self.found[dl.query_dict.get(label, label)] = [self.url(o) for o in paths]

    def find_all(self, n=6, **bad):
        for label in dl.query_dict: self.find(label, n, bad.get(label, ()))

@pytest.fixture
def bing():
    "A Bing that has found nothing yet, and urllib pointed at it"
    pytest.importorskip('bing_image_downloader')
    with Bing() as host, urllib_goes_to(host.netlocs[0]): yield host

@pytest.fixture
def full_bing(bing):
    "The same with six photos for each label"
    bing.find_all()
    return bing

def get(*args, **kwargs): return dl.download(*args, allow=['127.0.0.1'], timeout=1, tries=2, **kwargs)

# -- Bing

def test_bing(bing, home):
    bing.find_all(glasses=['404', 'html', 'cut'])
    ds = get('bing', 5)
    assert ds.path == home/'bing-5' and ds.source == 'bing' and ds.labels == dl.eyewear_types
    assert ds.counts() == dict.fromkeys(dl.eyewear_types, 5)
    assert {o['adlt'] for o in bing.bing_asked} == {'on'}
    assert {o['q'] for o in bing.bing_asked} == set(dl.query_dict.values())
    for f in ds.files():
        row = ds.row(f.name)
        label = f.parent.name
        assert f.name == f'{label}_{row["sha256"][:16]}.jpg'
        assert row['source'] == 'bing' and row['query'] == dl.query_dict[label]
        assert row['image_url'].startswith(bing.url(f'/ok/{label}-')) and '&h=2' in row['image_url']
        assert row['page_url'] == row['image_url']+'.html' and row['title'] == 'A title & more'
    failed = {o['image_url'].split('/')[3]: o['reason'] for o in ds.rows if o['status'] == 'failed'}
    assert set(failed) == {'404', 'html', 'cut'}
    for kind, says in {'404': '404', 'html': 'not a photo', 'cut': 'cut off'}.items(): assert says in failed[kind]

def test_a_second_time_asks_nobody_and_safesearch_is_off_only_when_asked(full_bing):
    first = get('bing', 5)
    off = get('bing', 5, adult_filter_off=True)
    assert {o['adlt'] for o in full_bing.bing_asked} == {'on', 'off'} and first.path != off.path
    n = full_bing.total
    urllib_connects(no_network)
    assert get('bing', 5).digest() == first.digest()
    assert full_bing.total == n

def test_fewer_than_asked_for_and_the_same_photo_twice(bing):
    bing.find_all(3, VR=['same'])
    bing.found[dl.query_dict['VR']].append(bing.url('/same/copy.jpg'))
    ds = get('bing', 9)
    assert ds.counts() == {'glasses': 3, 'sunglasses': 3, 'VR': 4, 'none': 3}
    assert [o['status'] for o in ds.rows if 'same' in o['image_url']] == ['ok', 'duplicate']
    n = len(bing.bing_asked)
    get('bing', 9)
    assert len(bing.bing_asked) == n  # Bing has no more: not asked again

@pytest.mark.parametrize('words', [dl.query_dict['VR'], 'diving mask'])
def test_nothing_found_at_first(full_bing, home, monkeypatch, words):
    full_bing.found[dl.query_dict['VR']] = []
    with pytest.raises(SourceError, match='no photos for VR.*VR headset'): get('bing', 5)
    assert Dataset(home/'bing-5').counts() == {'glasses': 5, 'sunglasses': 5, 'none': 5}  # Nothing lost
    assert not (home/'current.txt').exists()
    set_words(monkeypatch, **{**dl.query_dict, 'VR': words})   # Words that found nothing may be changed
    full_bing.find('VR', 6)
    ds = get('bing', 5)
    assert ds.path == home/'bing-5' and ds.counts()['VR'] == 5

def test_other_words(bing):
    bing.find('cups', 5)
    bing.find('VR', 5)
    assert get('bing', 5, ['cups', 'VR']).counts() == {'cups': 5, 'VR': 5}
    assert {o['q'] for o in bing.bing_asked} == {'cups', dl.query_dict['VR']}

def test_changed_words_get_a_folder_of_their_own(full_bing, monkeypatch, capsys):
    old = get('bing', 5)
    words = dl.query_dict
    assert 'other words' not in capsys.readouterr().out
    set_words(monkeypatch, **{**words, 'VR': 'diving mask'})
    full_bing.found['diving mask'] = [full_bing.url(f'/ok/mask-{i}.jpg') for i in range(6)]
    new = get('bing', 5)
    assert capsys.readouterr().out == f'bing-5/ has photos that other words have found: using {new.path.name}/\n'
    assert new.path != old.path and {r['query'] for r in new.rows if r['label'] == 'VR'} == {'diving mask'}
    assert {r['query'] for r in Dataset(old.path).rows} == set(words.values())
    monkeypatch.setenv('EYEWEAR_SOURCE', 'bing')
    monkeypatch.setenv('EYEWEAR_LIMIT', '5')
    n = len(full_bing.bing_asked)
    assert get('bing', 5).path == dl.load_dataset().path == new.path
    set_words(monkeypatch, **words)
    assert get('bing', 5).path == old.path
    assert len(full_bing.bing_asked) == n   # All of it was on disk already

def test_new_labels_in_query_dict(full_bing, monkeypatch):
    old = get('bing', 5)
    words = dl.query_dict
    for o in ('cups', 'plates'): full_bing.find(o, 6)
    set_words(monkeypatch, cups='cups', plates='plates')
    new = get('bing', 5)
    assert new.counts() == {'cups': 5, 'plates': 5} and new.path != old.path and not (old.path/'cups').exists()
    n = len(full_bing.bing_asked)
    set_words(monkeypatch, **words, cups='cups')
    assert get('bing', 5).path == old.path
    assert {o['q'] for o in full_bing.bing_asked[n:]} == {'cups'}   # One more is added to what is there

def test_fewer_labels_of_the_practice_portraits(drawn, monkeypatch):
    old = dl.download('practice', 4)
    set_words(monkeypatch, **{k: v for k, v in dl.query_dict.items() if k != 'VR'})
    for row in old.rows: row['query'] = f'drawn portrait: {row["label"]}'
    old.save()
    new = dl.download('practice', 4)
    assert new.path != old.path and 'VR' not in new.labels and Dataset(old.path).labels[2] == 'VR'

def test_a_failed_photo_may_come_later(bing):
    bing.find_all(4, none=['404'])
    words = dl.query_dict['none']
    bing.found[words] = bing.found[words][:1]
    with pytest.raises(SourceError): get('bing', 5)
    bing.found[words] = [bing.url(f'/ok/none-{i}.jpg') for i in (7, 1)]
    ds = get('bing', 5)
    assert ds.counts()['none'] == 2 and 'failed' not in {o['status'] for o in ds.rows}  # Not found any more

# -- Without a source: drawn portraits, and nobody is asked for a photo

def test_default_is_drawn_and_a_source_is_never_replaced(full_bing, drawn, monkeypatch):
    ds = get(limit=40)
    assert ds.source == 'practice' and ds.path.name == 'practice-40' and drawn == [40]
    assert not full_bing.asked
    monkeypatch.setenv('EYEWEAR_SOURCE', 'bing')
    assert get(limit=5).source == 'bing' and drawn == [40]

# -- Folders

def snapshot(path):
    "What a folder holds, and when it was written"
    return {str(f): (f.stat().st_mtime_ns, f.read_bytes()) for f in sorted(path.rglob('*')) if f.is_file()}

def test_a_folder_is_copied_and_stays_as_it_is(mine, home):
    before = snapshot(mine)
    ds = dl.download(mine)
    assert ds.path == home/f'dishes-{sha256(str(mine.resolve()).encode())[:6]}'
    names = {f'{o}/{i}.jpg' for o in ('cups', 'plates') for i in range(5)}
    assert {o['image_url'] for o in ds.rows} == names and {o['source'] for o in ds.rows} == {'dishes'}
    assert snapshot(mine) == before

def test_query_dicts_labels_and_what_is_left_out(tmp_path, capsys):
    source = tmp_path/'p'
    for o in (*dl.query_dict, 'offtopic', '.hidden', '__MACOSX'):
        (source/o).mkdir(parents=True)
        (source/o/'a.jpg').write_bytes(jpeg(len(o)))
    ds = dl.download(source)
    assert ds.labels == dl.eyewear_types
    assert capsys.readouterr().out == 'offtopic/: left out (no label of query_dict)\n'
    two = dl.download(source, labels=['VR', 'offtopic'])
    assert two.labels == ['VR', 'offtopic'] and two.path != ds.path
    assert capsys.readouterr().out == 'glasses/, none/, sunglasses/: left out (no label of LABELS)\n'
    assert dl.download(source, labels=dl.eyewear_types[::-1]).path == ds.path

def test_what_is_no_photo(tmp_path, capsys):
    mine = dishes(tmp_path/'dishes', 3)
    cups = mine/'cups'
    (cups/'deeper').mkdir()
    files = {'Thumbs.db': b'x', '.DS_Store': b'x', '../readme.txt': b'x', 'broken.jpg': jpeg(9)[:99], 'page.jpeg': b'<html>',
        'empty.png': b'', 'deeper/Ä photo (1).JPG': jpeg(8)}
    for name, data in files.items(): (cups/name).write_bytes(data)
    ds = dl.download(mine)
    assert ds.counts() == {'cups': 7, 'plates': 3}  # Broken ones too: lesson 02 finds them
    assert sum(o['width'] == '' for o in ds.rows) == 3
    assert not capsys.readouterr().out  # What a system leaves is no photo of yours
    (cups/'notes.txt').write_bytes(b'x')
    dl.download(mine)
    assert capsys.readouterr().out == 'cups/: 1 files left out, they do not end like photos\n'

def killed(): raise RuntimeError('killed')
def ctrl_c(): os.kill(os.getpid(), signal.SIGINT)

@pytest.mark.parametrize('method, end, error', [('store', ctrl_c, KeyboardInterrupt), ('append', killed, RuntimeError)])
def test_a_copy_that_was_cut_short_goes_on(mine, home, monkeypatch, method, end, error):
    real = getattr(Dataset, method)
    def stop(self, *args, **kwargs):
        if len(self.rows) >= 4: end()
        return real(self, *args, **kwargs)
    with monkeypatch.context() as m:
        m.setattr(Dataset, method, stop)
        with pytest.raises(error): dl.download(mine)
    assert not (home/'current.txt').exists()
    ds = dl.download(mine)
    assert ds.counts() == {'cups': 5, 'plates': 5} and len(ds.rows) == 10
    assert {(o['status'], o['source']) for o in ds.rows} == {('ok', 'dishes')}

def test_a_source_whose_name_is_no_text(mine, tmp_path):
    source = os.fsdecode(os.fsencode(tmp_path)+b'/caf\xe9')
    os.rename(mine, source)
    ds = dl.download(source)
    assert len(ds.files()) == len(Dataset(ds.path).files()) == 10
    assert ds.source == 'caf\\xe9' and ds.path.name.startswith('caf_-')

def test_a_very_long_name(tmp_path): assert len(dl.download(dishes(tmp_path/('n'*250))).files()) == 10

@pytest.mark.parametrize('limit', [0, -3, 3, 'x', '²', 4.5, '9'*5000])
def test_limits_that_are_none(mine, limit):
    with pytest.raises(SourceError, match='give a whole number') as e: dl.download(mine, limit)
    assert len(str(e.value)) < 120

# -- Lists

@pytest.mark.parametrize('url, says', [
    ('http://nowhere.invalid/1.jpg', 'm: no photo for cups came; http://nowhere.invalid/1.jpg: cannot be reached .nowhere.invalid'),
    ('gone.jpg', 'm: no photo for cups came; gone.jpg: cannot be read .no such file')])
def test_errors_of_a_list_name_the_reason(tmp_path, monkeypatch, url, says):
    monkeypatch.setattr(socket, 'getaddrinfo', lambda *args, **kwargs: no_network(None)) # Not even a name is asked for
    (tmp_path/'m.csv').write_text(f'label,url\ncups,{url}\nplates,{url}\n', encoding='utf-8')
    with pytest.raises(SourceError, match=says) as e: get(tmp_path/'m.csv', quiet=True)
    assert 'query_dict' not in str(e.value)

def test_some_of_a_list_did_not_come(mine, capsys):
    lines = [f'{o};{o}/{i}.jpg' for o in ('cups', 'plates') for i in range(4)]
    (mine/'m.csv').write_text('\n'.join(['label;file', *lines, 'cups;cups/9.jpg']), encoding='utf-8')
    assert dl.download(mine/'m.csv', quiet=True).counts() == {'cups': 4, 'plates': 4}
    assert capsys.readouterr().out == 'cups: 1 photo(s) did not come, among them cups/9.jpg: cannot be read (no such file)\n'

# -- Practice portraits

def test_practice_has_four_labels(drawn):
    assert dl.download('practice', 40, ['VR', 'none']).labels == ['VR', 'none']
    with pytest.raises(SourceError, match='practice has no cups'): dl.download('practice', 40, ['VR', 'cups'])

def test_practice_does_not_mind_the_order(monkeypatch):
    practice = pytest.importorskip('eyewear.data.practice')
    calls = []
    monkeypatch.setattr(sources, 'need', lambda *args: None)
    monkeypatch.setattr(practice, 'make_practice', lambda ds, limit, labels: calls.append(labels))
    paths = {dl.download('practice', 40, o).path for o in (['none', 'VR'], ['VR', 'none'])}
    assert len(paths) == 1
    assert calls == [['VR', 'none']]*2  # The plan of the trouble, and with it the answer key, depends on the order

# -- What the other lessons open

def test_load_dataset(mine, drawn, monkeypatch, capsys):
    assert dl.load_dataset().path.name == 'practice-40' and drawn == [40]
    assert 'drawing a few practice portraits' in capsys.readouterr().out
    own = dl.download(mine)
    capsys.readouterr()
    ds = dl.load_dataset()
    assert ds.path == own.path and ds.source == 'dishes' and not capsys.readouterr().out
    monkeypatch.setenv('EYEWEAR_SOURCE', 'practice')
    monkeypatch.setenv('EYEWEAR_LIMIT', '40')
    assert dl.load_dataset().path.name == 'practice-40' and drawn == [40]  # On disk already
    monkeypatch.setenv('EYEWEAR_SOURCE', str(mine))
    monkeypatch.setenv('EYEWEAR_LIMIT', '150')
    monkeypatch.setenv('EYEWEAR_LABELS', 'plates,cups')
    assert dl.load_dataset().counts() == {'plates': 5, 'cups': 5}

# -- The command, and what importing costs

def run(*args, **env):
    "The console script as a shell would run it, with no way to Bing"
    dead = dict.fromkeys('http_proxy https_proxy HTTP_PROXY HTTPS_PROXY'.split(), 'http://127.0.0.1:9')
    command = [str(Path(sys.executable).with_name('eyewear-download')), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **dead, **env}, timeout=120)

def test_command(mine):
    shown = run('--help').stdout
    assert all(o in shown for o in ('--source', '--limit', '--labels'))
    r = run('--source', mine, '--labels', 'plates, cups')
    assert r.returncode == 0 and '5 cups' in r.stdout and '10 photos from dishes' in r.stdout and not r.stderr

@pytest.mark.parametrize('args, env, says', [
    (['--source', 'no_such'], {}, 'no_such'),
    (['--source', 'bing'], {}, 'bing: no photos for glasses .*SOURCE=practice'),
    ([], dict(EYEWEAR_LIMIT='many'), 'LIMIT=many'),
    (['--limit', '-3'], {}, 'LIMIT=-3'),
    (['--source', 'no.csv'], {}, 'no.csv: cannot be read'),
    (['--source', 'practice'], dict(EYEWEAR_HOME=__file__), 'cannot be made')])
def test_command_errors(args, env, says):
    r = run(*args, **env)
    assert r.returncode == 2 and re.search(says, r.stderr) and len(r.stderr.splitlines()) == 1

def test_started_among_the_photos(mine, monkeypatch):
    monkeypatch.delenv('EYEWEAR_HOME')
    monkeypatch.chdir(mine)
    for _ in range(2): assert '10 photos from dishes' in run('--source', '.').stdout
    assert [o.name for o in (mine/'work').iterdir() if o.is_dir()] == [dl.load_dataset().path.name]

def test_a_label_with_a_comma(mine):
    (mine/'cups').rename(mine/'cups, mugs')
    quoted = '"cups, mugs",plates'
    for o in (quoted, 'cups, mugs,plates'): assert '5 cups, mugs' in run('--source', mine, '--labels', o).stdout
    assert '5 cups, mugs' in run('--source', mine, EYEWEAR_LABELS=quoted).stdout

ASCII = dict(PYTHONCOERCECLOCALE='0', PYTHONUTF8='0', LC_ALL='C')

@pytest.mark.parametrize('env', [ASCII, dict(PYTHONIOENCODING='cp1252'), dict(PYTHONIOENCODING='ascii')])
def test_names_of_a_source_that_a_terminal_cannot_show(tmp_path, home, env):
    mine = dishes(tmp_path/'写真')
    os.rename(mine/'cups'/'1.jpg', os.fsencode(mine/'cups')+b'/caf\xe9.jpg')
    (mine/'cups'/'2.jpg').rename(mine/'cups'/'杯.jpg')
    for _ in range(2):
        r = run('--source', mine, **env)
        assert r.returncode == 0 and '10 photos' in r.stdout and not r.stderr
    ds = Dataset(home/(home/'current.txt').read_text(encoding='utf-8'))
    assert {'cups/caf\\xe9.jpg', 'cups/杯.jpg'} <= {o['image_url'] for o in ds.rows}

@pytest.mark.parametrize('env', [ASCII, {}])
def test_a_label_that_is_no_text_is_one_line(mine, env):
    os.rename(mine/'cups', os.fsencode(mine)+b'/caf\xe9')
    r = run('--source', mine, **env)
    assert r.returncode == 2 and 'caf\\xe9' in r.stderr and 'another name' in r.stderr and len(r.stderr.splitlines()) == 1

def test_light_import():
    heavy = 'torch fastai fastbook matplotlib bing_image_downloader eyewear.data.practice'
    code = f'import sys, eyewear.download; print([o for o in "{heavy}".split() if o in sys.modules])'
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout.strip() == '[]'

def test_photo_sheet(tmp_path):
    pytest.importorskip('matplotlib').use('agg')
    mine = dishes(tmp_path/'dishes', 3)
    (mine/'plates'/'bad.jpg').write_bytes(b'no')
    fig = photo_sheet(dl.download(mine).by_label(), n=5)
    texts = [t.get_text() for ax in fig.axes for t in ax.texts]
    assert 'cups' in texts and 'plates' in texts and sum('cannot' in o for o in texts) == 1
    out = io.BytesIO()
    fig.savefig(out)
    assert len(out.getvalue()) < 200_000
    assert len(photo_sheet([jpeg(1), Image.new('RGB', (9, 5))], ['one', 'two'], n=4).axes) == 4
