"The run from a folder of one's own photos to a model, and what a second run keeps."
import json, os, signal, subprocess, sys, time
from pathlib import Path
import pytest
from PIL import Image, ImageDraw
from eyewear.data.dataset import Dataset

pytest.importorskip('fastai')
BIN = Path(sys.executable).parent

def dish(label, i):
    "A made-up picture: a plate is a ring, a cup a square with a handle"
    img = Image.new('RGB', (160, 160), [(230, 220, 200), (200, 220, 240), (210, 240, 210)][i%3])
    d, x, y = ImageDraw.Draw(img), 20+i*7%30, 20+i*11%30
    color = [(200, 40, 40), (40, 60, 180), (250, 250, 250), (60, 140, 60)][i%4]
    if label == 'plates':
        d.ellipse((x, y, x+90, y+90), fill=color, outline='black', width=2+i%3)
        d.ellipse((x+20, y+20, x+70, y+70), outline='black', width=2)
    else:
        d.arc((x+50, y+15, x+95, y+60), 0, 360, fill='black', width=6)
        d.rectangle((x, y, x+65, y+80), fill=color, outline='black', width=2+i%3)
    return img

def run(home, *args, **kw):
    env = dict({k: v for k, v in os.environ.items() if not k.startswith('EYEWEAR_')}, EYEWEAR_HOME=str(home))
    return subprocess.run([BIN/'eyewear-run', *map(str, args)], env=env, capture_output=True, text=True, **kw)

@pytest.fixture(scope='module')
def dishes(tmp_path_factory):
    "A run on cups and plates: its home, its folder, what it printed"
    tmp = tmp_path_factory.mktemp('dishes')
    for label in ('cups', 'plates'):
        (tmp/'photos'/label).mkdir(parents=True)
        for i in range(20): dish(label, i).save(tmp/'photos'/label/f'{i}.png')
    (tmp/'photos'/'cups'/'broken.jpg').write_bytes(b'<html>gone</html>')
    before = sorted((p, p.stat().st_mtime) for p in (tmp/'photos').rglob('*'))
    res = run(tmp/'home', '--source', tmp/'photos', '--serve', 0, timeout=900)
    assert res.returncode == 0, res.stdout+res.stderr
    assert before == sorted((p, p.stat().st_mtime) for p in (tmp/'photos').rglob('*')), 'the source was written to'
    [folder] = (tmp/'home'/'runs').iterdir()
    return tmp, folder, res.stdout

def test_run_record(dishes):
    tmp, folder, out = dishes
    rec = json.loads((folder/'summary.json').read_text())
    assert {'source', 'backbone', 'photos', 'problems', 'error_before', 'error_after', 'error_test', 'seconds', 'model'} <= rec.keys()
    assert set(rec['photos']) == {'cups', 'plates'} and rec['problems']['unreadable'] == 1
    for k in ('error_before', 'error_after'): assert {'error', 'low', 'high', 'n'} <= rec[k].keys() and rec[k]['n'] > 0
    assert rec['error_test'] == dict(before=None, after=None), 'nobody knows the right labels of these'
    assert list(rec['seconds']) == ['01_download', '02_clean', '03_train', '04_interpret', '05_export']
    assert Path(rec['model']).is_file()
    for name in rec['seconds']: assert (folder/f'{name}.html').stat().st_size > 10_000 and name in out
    assert 'error after' in out and rec['model'] in out

def test_model_asks_for_its_own_labels(dishes):
    from eyewear.predict import Classifier
    clf = Classifier(dishes[1]/'eyewear.onnx')
    assert clf.question == 'Which is it: cups or plates?'
    right = sum(clf(dish(o, i)).label == o for o in ('cups', 'plates') for i in range(40, 50))
    assert right >= 18, right

def test_pickle_loads_in_a_fresh_process(dishes):
    code = f'''from fastai.vision.all import *
print(load_learner({str(dishes[1]/"eyewear-inf.pkl")!r}).predict({str(dishes[0]/"photos"/"plates"/"3.png")!r})[0])'''
    res = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True)
    assert 'plates' in res.stdout.split(), res.stderr

def test_without_a_key_only_broken_photos_go(dishes):
    [data] = [p.parent for p in (dishes[0]/'home').glob('*/manifest.csv')]
    decisions = Dataset(data).decisions()
    assert [e['by'] for e in decisions] == ['rule'] and decisions[0]['to'] is None

def test_a_new_run_keeps_what_a_person_decided(dishes, monkeypatch):
    from eyewear.lessons import start_afresh
    monkeypatch.setenv('EYEWEAR_HOME', str(dishes[0]/'home'))
    [data] = [p.parent for p in (dishes[0]/'home').glob('*/manifest.csv')]
    ds = Dataset(data)
    a, b = [f.name for f in ds.files() if f.parent.name == 'plates'][:2]
    ds.decide(a, None, by='person', why='chipped')
    ds.decide(b, 'cups', by='key', why='review')
    start_afresh()
    held = Dataset(data).decisions()
    assert [(e['name'], e['by']) for e in held] == [(a, 'person')]
    assert Dataset(data).find(b).parent.name == 'plates' and Dataset(data).find(a).parent.name == '.removed'
    Dataset(data).undo(by='person')

@pytest.mark.parametrize('args,says', [
    (('--source', '/no/such/folder'), '/no/such/folder'), (('--limit', '2'), 'LIMIT=2'), (('--limit', '0'), 'LIMIT=0'), (('--port', '99999'), '99999')])
def test_bad_input_is_one_line(tmp_path, args, says):
    res = run(tmp_path/'home', *args, timeout=300)
    err = [l for l in res.stderr.splitlines() if l.strip()]
    assert res.returncode == 2 and len(err) == 1 and says in err[0], (res.stdout, res.stderr)

def test_limit_in_other_digits_is_one_line(tmp_path):
    env = dict(os.environ, EYEWEAR_HOME=str(tmp_path/'home'), EYEWEAR_LIMIT='²')
    res = subprocess.run([BIN/'eyewear-run'], env=env, capture_output=True, text=True)
    assert res.returncode == 2 and res.stderr.startswith('eyewear: LIMIT=²') and res.stderr.count('\n') == 1, res.stderr

def test_home_that_cannot_be_made(tmp_path):
    (tmp_path/'file').write_text('')
    res = run(tmp_path/'file'/'home', '--serve', 0, timeout=300)
    assert res.returncode == 2 and 'EYEWEAR_HOME' in res.stderr and 'Traceback' not in res.stderr

@pytest.mark.skipif(os.name != 'posix', reason='signals')
def test_ctrl_c_ends_it_in_a_line(tmp_path):
    env = dict(os.environ, EYEWEAR_HOME=str(tmp_path/'home'))
    p = subprocess.Popen([BIN/'eyewear-run', '--source', 'practice', '--limit', '40', '--serve', '0'], env=env,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(25)
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=60)
    assert p.returncode == 130 and 'stopped; the same command starts anew' in err and 'Traceback' not in err, (out, err)
