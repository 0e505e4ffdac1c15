"The same photos on another machine: from an address, a folder, a drawing; what is gone, changed or decided."
import os, subprocess, sys
from pathlib import Path
import pytest
from PIL import Image
from eyewear.download import download
from eyewear.core import SourceError, sha256
from eyewear.data.dataset import Dataset
from photohost import PhotoHost

@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path/'there'))
    return tmp_path/'there'

def from_web(path, host, n=4):
    "A dataset whose photos came from `host`"
    from eyewear.data.fetch import Found, fetch
    ds = Dataset.create(path)
    fetch(ds, {o: (f'words for {o}', [Found(host.url(f'/ok/{i+10*k}.jpg'), title=f'{o} {i}') for i in range(n)]) for k, o in enumerate(('cups', 'plates'))},
          n, 'my search', allow=['127.0.0.1'], quiet=True)
    return ds

def test_same_photos_and_decisions(tmp_path):
    with PhotoHost() as host:
        ds = from_web(tmp_path/'here', host)
        a, b, c = (f.name for f in ds.files()[:3])
        ds.decide(a, None, by='person', why='chipped')
        ds.decide(b, 'plates', by='key', why='flat')
        ds.decide(c, None, by='rule'); ds.undo()
        again = download(ds.manifest, allow=['127.0.0.1'], quiet=True)
    assert again.counts() == ds.counts() == dict(cups=2, plates=5) and again.digest() == ds.digest() and again.split() == ds.split()
    assert [(e['name'], e['to'], e['by']) for e in again.decisions()] == [(a, None, 'person'), (b, 'plates', 'key')]
    assert {(r['source'], r['title'][:4]) for r in again.rows} == {('my search', 'cups'), ('my search', 'plat')}

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
        again = download(ds.manifest, quiet=True)
        assert host.total == before and not again.files()

def test_files_of_a_folder_need_a_copy_of_it(tmp_path, capsys):
    (tmp_path/'mine'/'cups').mkdir(parents=True)
    ds = Dataset.create(tmp_path/'here')
    for i in range(3):
        Image.new('RGB', (9, 9), (i, 2, 3)).save(tmp_path/'mine'/'cups'/f'{i}.png')
        ds.add(tmp_path/'mine'/'cups'/f'{i}.png', 'cups', source='mine', image_url=f'cups/{i}.png')
    assert not download(ds.manifest, quiet=True).files() and '--source' in capsys.readouterr().out
    assert download(ds.manifest, folder=tmp_path/'mine', quiet=True).digest() == ds.digest()

def test_drawings_are_drawn_again(tmp_path):
    practice = pytest.importorskip('eyewear.data.practice')
    ds = practice.make_practice(Dataset.create(tmp_path/'here'), 4)
    assert download(ds.manifest, quiet=True).digest() == ds.digest()

def test_after_following_a_folder_that_changed(tmp_path, capsys):
    for k, o in enumerate(('cups', 'plates')):
        (tmp_path/'mine'/o).mkdir(parents=True)
        for i in range(4): Image.new('RGB', (9, 9), (i, 2, k)).save(tmp_path/'mine'/o/f'{i}.png')
    download(tmp_path/'mine', quiet=True)
    (tmp_path/'mine'/'cups'/'0.png').rename(tmp_path/'mine'/'plates'/'x.png')
    Image.new('RGB', (9, 9), 'red').save(tmp_path/'mine'/'cups'/'1.png')
    ds = download(tmp_path/'mine', quiet=True)
    again = download(ds.manifest, folder=tmp_path/'mine', quiet=True)
    assert '8 of 8 photos are the same' in capsys.readouterr().out
    assert again.digest() == ds.digest() and again.counts() == dict(cups=3, plates=5)

@pytest.mark.parametrize('row, says', [
    ('../../victim,cups/0.png,{sha},mine', "the label '../../victim' has a character"), ('cups,practice:x,{sha},practice', 'no practice portrait'),
    ('glasses,practice:0/99999999/glasses/1,{sha},practice', 'no practice portrait')])
def test_a_manifest_of_a_stranger(tmp_path, home, row, says):
    (tmp_path/'mine'/'cups').mkdir(parents=True)
    Image.new('RGB', (9, 9)).save(tmp_path/'mine'/'cups'/'0.png')
    sha = sha256((tmp_path/'mine'/'cups'/'0.png').read_bytes())
    (tmp_path/'m.csv').write_text('label,image_url,sha256,source\n'+row.format(sha=sha)+'\n', encoding='utf-8')
    with pytest.raises(SourceError, match=says): download(tmp_path/'m.csv', folder=tmp_path/'mine', quiet=True)
    assert not (tmp_path/'victim').exists() and not home.exists()

@pytest.mark.parametrize('url', ['../outside.png', '/dev/zero', '{tmp}/outside.png'])
def test_nothing_outside_the_copy_is_read(tmp_path, url):
    (tmp_path/'mine'/'cups').mkdir(parents=True)
    Image.new('RGB', (9, 9)).save(tmp_path/'outside.png')
    sha = sha256((tmp_path/'outside.png').read_bytes())
    (tmp_path/'m.csv').write_text(f'label,image_url,sha256,source\ncups,{url.format(tmp=tmp_path)},{sha},mine\n', encoding='utf-8')
    assert not download(tmp_path/'m.csv', folder=tmp_path/'mine', quiet=True).files()

def test_names_that_are_no_text(tmp_path):
    for k, o in enumerate(('cups', 'plates')):
        (tmp_path/'mine'/o).mkdir(parents=True)
        for i in range(4): Image.new('RGB', (9, 9), (i, 2, k)).save(tmp_path/'mine'/o/f'{i}.png')
    os.rename(tmp_path/'mine'/'cups'/'0.png', os.fsencode(tmp_path/'mine'/'cups')+b'/caf\xe9.png')
    ds = download(tmp_path/'mine', quiet=True)
    assert 'cups/caf\\xe9.png' in {r['image_url'] for r in ds.rows}
    assert download(ds.manifest, folder=tmp_path/'mine', quiet=True).digest() == ds.digest()

@pytest.mark.parametrize('text', ['', 'a,b\n1,2\n', 'label,image_url,sha256,source\n'])
def test_no_manifest(tmp_path, text):
    (tmp_path/'m.csv').write_text(text)
    with pytest.raises(SourceError, match='m.csv'): download(tmp_path/'m.csv')

def test_the_command(tmp_path):
    (tmp_path/'mine'/'cups').mkdir(parents=True)
    ds = Dataset.create(tmp_path/'here')
    for i in range(2):
        Image.new('RGB', (9, 9), (i, 2, 3)).save(tmp_path/'mine'/'cups'/f'{i}.png')
        ds.add(tmp_path/'mine'/'cups'/f'{i}.png', 'cups', source='mine', image_url=f'cups/{i}.png')
    run = lambda *args: subprocess.run([Path(sys.executable).with_name('eyewear-download'), *args], capture_output=True, text=True, timeout=120)
    res = run('--from', ds.manifest, '--source', tmp_path/'mine')
    assert res.returncode == 0 and '2 of 2 photos are the same' in res.stdout, res.stderr
    [path] = (tmp_path/'there').glob('again-*')
    assert Dataset(path).digest() == ds.digest() and '2 photos' in (path/'ATTRIBUTION.md').read_text()
    res = run('--from', tmp_path/'nowhere.csv')
    assert res.returncode == 2 and len(res.stderr.splitlines()) == 1 and 'nowhere.csv' in res.stderr
