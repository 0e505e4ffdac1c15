"The run from a folder of one's own photos to a model, and what a second run keeps."
import json, os, signal, subprocess, sys, time
from pathlib import Path
from types import SimpleNamespace
import pytest
from PIL import Image, ImageDraw
from eyewear.data.dataset import Dataset

pytest.importorskip('fastai')
BIN = Path(sys.executable).parent

def dish(label, i):
    "A made-up picture: a plate is a ring, a cup a square with a handle"
    img = Image.new('RGB', (160, 160), [(230, 220, 200), (200, 220, 240), (210, 240, 210)][i%3])
    d = ImageDraw.Draw(img)
    x = 20+i*7%30
    y = 20+i*11%30
    color = [(200, 40, 40), (40, 60, 180), (250, 250, 250), (60, 140, 60)][i%4]
    if label == 'plates':
        d.ellipse((x, y, x+90, y+90), fill=color, outline='black', width=2+i%3)
        d.ellipse((x+20, y+20, x+70, y+70), outline='black', width=2)
    else:
        d.arc((x+50, y+15, x+95, y+60), 0, 360, fill='black', width=6)
        d.rectangle((x, y, x+65, y+80), fill=color, outline='black', width=2+i%3)
    return img

def env_of(home, **kw):
    "The environment of this process with its data at `home`"
    return {k: v for k, v in os.environ.items() if not k.startswith('EYEWEAR_')} | dict(EYEWEAR_HOME=str(home)) | kw

def run(home, *args, timeout=300, **env):
    cmd = [BIN/'eyewear-run', *map(str, args)]
    return subprocess.run(cmd, env=env_of(home, **env), capture_output=True, text=True, timeout=timeout)

@pytest.fixture(scope='module')
def dishes(tmp_path_factory):
    "A run on cups and plates: its photos, its home, its folder, what it printed"
    tmp = tmp_path_factory.mktemp('dishes')
    photos = tmp/'photos'
    for label in ('cups', 'plates'):
        (photos/label).mkdir(parents=True)
        for i in range(20): dish(label, i).save(photos/label/f'{i}.png')
    (photos/'cups'/'broken.jpg').write_bytes(b'<html>gone</html>')
    def times(): return sorted((p, p.stat().st_mtime) for p in photos.rglob('*'))
    before = times()
    res = run(tmp/'home', '--source', photos, '--serve', 0, timeout=900)
    assert res.returncode == 0, res.stdout+res.stderr
    assert before == times(), 'the source was written to'
    [folder] = (tmp/'home'/'runs').iterdir()
    return SimpleNamespace(photos=photos, home=tmp/'home', folder=folder, printed=res.stdout)

@pytest.fixture
def dataset(dishes):
    return Dataset(dishes.home/(dishes.home/'current.txt').read_text())

def test_run_record(dishes):
    rec = json.loads((dishes.folder/'summary.json').read_text())
    keys = {'source', 'backbone', 'photos', 'problems', 'error_before', 'error_after', 'error_test', 'seconds', 'model'}
    assert keys <= rec.keys()
    assert set(rec['photos']) == {'cups', 'plates'}
    assert rec['problems']['unreadable'] == 1
    for k in ('error_before', 'error_after'):
        assert {'error', 'low', 'high', 'n'} <= rec[k].keys()
        assert rec[k]['n'] > 0
    assert rec['error_test'] == dict(before=None, after=None), 'nobody knows the right labels of these'
    assert list(rec['seconds']) == ['01_download', '02_clean', '03_train', '04_interpret', '05_export']
    assert Path(rec['model']).is_file() and (dishes.folder/'eyewear-inf.pkl').is_file()
    for name in rec['seconds']:
        assert (dishes.folder/f'{name}.html').stat().st_size > 10_000
        assert name in dishes.printed
    assert 'error after' in dishes.printed
    assert rec['model'] in dishes.printed

def test_model_asks_for_its_own_labels(dishes):
    from eyewear.predict import Classifier
    clf = Classifier(dishes.folder/'eyewear.onnx')
    assert clf.question == 'Which is it: cups or plates?'
    right = sum(clf(dish(o, i)).label == o for o in ('cups', 'plates') for i in range(40, 50))
    assert right >= 18, right

def test_without_a_key_only_broken_photos_go(dataset):
    [decision] = dataset.decisions()
    assert (decision['by'], decision['to']) == ('rule', None)

def test_a_new_run_keeps_what_a_person_decided(dishes, dataset, monkeypatch):
    from eyewear.lessons import start_afresh
    monkeypatch.setenv('EYEWEAR_HOME', str(dishes.home))
    chipped, relabelled = [f.name for f in dataset.files() if f.parent.name == 'plates'][:2]
    dataset.decide(chipped, None, by='person', why='chipped')
    dataset.decide(relabelled, 'cups', by='key', why='review')
    start_afresh()
    after = Dataset(dataset.path)
    assert [(e['name'], e['by']) for e in after.decisions()] == [(chipped, 'person')]
    assert after.find(relabelled).parent.name == 'plates'
    assert after.find(chipped).parent.name == '.removed'
    after.undo(by='person')

BAD = dict(
    folder=(['--source', '/no/such/folder'], {}, '/no/such/folder'),
    few=(['--limit', '2'], {}, 'LIMIT=2'),
    none=(['--limit', '0'], {}, 'LIMIT=0'),
    digits=([], dict(EYEWEAR_LIMIT='²'), 'LIMIT=²'),
    port=(['--port', '99999'], {}, '99999'),
    home=(['--serve', '0'], dict(EYEWEAR_HOME=f'{__file__}/home'), 'EYEWEAR_HOME'))

@pytest.mark.parametrize('name', BAD)
def test_bad_input_is_one_line(tmp_path, name):
    args, env, message = BAD[name]
    res = run(tmp_path/'home', *args, **env)
    lines = [l for l in res.stderr.splitlines() if l.strip()]
    assert res.returncode == 2
    assert len(lines) == 1 and message in lines[0], (res.stdout, res.stderr)

@pytest.mark.skipif(os.name != 'posix', reason='signals')
def test_ctrl_c_ends_it_in_a_line(tmp_path):
    "In the middle of lesson 01, when its dataset is there"
    cmd = [BIN/'eyewear-run', '--source', 'practice', '--limit', '40', '--serve', '0']
    end = time.monotonic()+120
    proc = subprocess.Popen(cmd, env=env_of(tmp_path/'home'), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob('home/*/manifest.csv')):
        assert proc.poll() is None and time.monotonic() < end
        time.sleep(.2)
    proc.send_signal(signal.SIGINT)
    out, err = proc.communicate(timeout=60)
    assert proc.returncode == 130, (out, err)
    assert 'stopped; the same command starts anew' in err
    assert 'Traceback' not in err
