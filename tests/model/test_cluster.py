"Ray classifies photos as the plain loop does, and survives what kills a worker."
import csv, importlib.util, os, subprocess, sys, threading, time
from pathlib import Path
import pytest
from PIL import Image
from eyewear.core import DatasetError, EyewearError, MissingExtra, PhotoError, SourceError
from eyewear.data.folders import find_photos
from eyewear.model.cluster import Worker, classify, start_ray
from eyewear.predict import csv_head, predict_files
from badphotos import BAD
from photohost import PhotoHost
from tinymodel import SEED, tiny_model

HAVE = all(importlib.util.find_spec(o) for o in ('ray', 'pyarrow'))
EXTRA = "needs `pip install 'eyewear[ray]'`"
pytestmark = pytest.mark.usefixtures('here')
needs_ray = pytest.mark.skipif(not HAVE, reason=EXTRA)
KILLER = '''import os, signal
with open(__file__+'.deaths', 'a') as f: f.write('.')
if os.path.getsize(f.name) > 20: raise RuntimeError('killed again and again')
os.kill(os.getpid(), signal.SIGKILL)
''' # Stands in for a decoder that crashes: `open_photo` imports `pillow_heif` where a file is HEIC
HEIC = b'\0\0\0\x18ftypheic'+bytes(99)

@pytest.fixture(scope='module')
def ray(tmp_path_factory):
    "A Ray of two workers, in whose processes a HEIC photo is deadly"
    import ray
    deadly = tmp_path_factory.mktemp('deadly')
    (deadly/'pillow_heif.py').write_text(KILLER)
    with pytest.MonkeyPatch.context() as m:
        m.setenv('RAY_USAGE_STATS_ENABLED', '0')
        m.setenv('PYTHONPATH', os.pathsep.join([str(deadly), os.environ.get('PYTHONPATH', '')]))
        ray.init(address='local', num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level='warning')
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield ray
        ray.shutdown()

@pytest.fixture
def model(tmp_path): return tiny_model(tmp_path/'eyewear.onnx', unknown=True, UNKNOWN_THRESHOLD='0.3')

def photo(path, i=0):
    "A photo of one colour at `path`"
    Image.new('RGB', (90,60), (40*i%256, 90*i%256, 170*i%256)).save(path)

def photos(folder, n):
    "`n` photos in `folder` and below it, and every kind of file that is no photo"
    (folder/'sub').mkdir(parents=True)
    for i in range(n): photo(folder/('sub' if i%2 else '.')/f'{i:03}.png', i)
    for i, data in enumerate(BAD.values()): (folder/f'bad{i}.jpg').write_bytes(data)
    return folder

def plain(*paths, model, **kw):
    "The rows that `eyewear-predict` writes"
    predict_files(paths, model, 'plain.csv', **kw)
    with open('plain.csv', newline='', encoding='utf-8') as f: return list(csv.DictReader(f))

def by_name(rows): return sorted(rows, key=lambda r: r['file'])

def as_text(value):
    "A value of the table as the CSV has it"
    if value is None: return ''
    return value if isinstance(value, str) else f'{value:.4f}'

def table(out):
    "The Parquet in `out` as `plain` gives it, in the order of names"
    from pyarrow.dataset import dataset
    t = dataset(out, format='parquet').to_table()
    assert t.column_names == csv_head(SEED)
    assert {str(t.schema.field(o).type) for o in ('prob','unknown','prob_VR')} == {'double'}
    return by_name([{k: as_text(v) for k, v in row.items()} for row in t.to_pylist()])

# -- Without Ray

def test_missing_extra(model, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name, *a: None if name == 'ray' else find(name, *a))
    with pytest.raises(MissingExtra, match=r"needs ray: run `pip install 'eyewear\[ray\]'`"): classify(['.'], 'out', model)
    assert not Path('out').exists()

def test_importing_the_room_imports_neither_ray_nor_torch():
    heavy = 'ray', 'pyarrow', 'torch', 'fastai'
    code = f'import sys, eyewear.cli, eyewear.model.cluster; sys.exit(" ".join(sys.modules.keys() & {{*{heavy}}}))'
    res = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert not res.stderr.strip()

def script(*args):
    "Run `eyewear-predict`"
    command = Path(sys.executable).with_name('eyewear-predict')
    return subprocess.run([command, *map(str, args)], capture_output=True, text=True)

@pytest.mark.parametrize('args,word', [(['a.png', '--engine', 'rey'], '--engine rey'), (['a.png', '--engine', 'ray'], '--out answers')])
def test_script_ends_in_one_line(args, word):
    res = script(*args)
    assert (res.returncode, res.stderr.count('\n')) == (2, 1)
    assert word in res.stderr

def test_plain_loop_reads_a_list_too(model, here):
    photos(here/'photos', 3)
    Path('list.csv').write_text('n,picture\n1,photos/000.png\n\n2,gone.png\n3,\n')
    a, b = plain('list.csv', model=model, column='picture')
    assert a['file'] == 'photos/000.png' and a['label']
    assert 'no such file' in b['reason']
    with pytest.raises(SourceError, match='list.csv.*n, picture.*--column'): plain('list.csv', model=model)

def test_list_in_parquet(here):
    pa = pytest.importorskip('pyarrow', reason=EXTRA)
    from pyarrow import parquet
    parquet.write_table(pa.table(dict(n=[1,2,3], URL=['a.png', None, 'https://a.org/b c.png'])), 'list.parquet')
    assert list(find_photos(['list.parquet'])) == [Path('a.png'), 'https://a.org/b c.png']
    assert list(find_photos(['list.parquet'], 'n')) == list(map(Path, '123'))
    Path('broken.parquet').write_text('a letter')
    for name in ('broken.parquet', 'gone.parquet'):
        with pytest.raises(SourceError, match=name): list(find_photos([name]))

@pytest.mark.skipif(sys.platform != 'linux', reason='every name is text there')
def test_worker_opens_a_photo_whose_name_is_no_text(model, here):
    pa = pytest.importorskip('pyarrow', reason=EXTRA)
    Image.new('RGB', (90,60), 'red').save(os.fsdecode(b'caf\xe9.png'))
    worker = Worker(model.read_bytes(), str(here), str(here/'notes'))
    [row] = worker(pa.table({'file':[b'caf\xe9.png']})).to_pylist()
    assert (row['file'], row['label'], row['reason']) == (r'caf\xe9.png', 'glasses', None)

# -- With two workers

@needs_ray
def test_folder_is_as_in_the_plain_loop_and_gone_on_with(ray, model, here):
    photos(here/'photos', 40)
    want = by_name(plain('photos', 'gone.png', model=model))
    assert classify(['photos', 'gone.png'], 'out', model, workers=2) == 40
    assert table('out') == want
    reasons = [r['reason'] for r in want if not r['label']]
    assert (len(want), len(reasons)) == (41+len(BAD), 1+len(BAD))
    assert all(o and str(here) not in o for o in reasons)
    done = sorted(Path('out').glob('*.parquet'))               # One more photo, one that kills, and a job that was cut off
    Path('out/0.parquet').write_bytes(done[0].read_bytes()[:300])
    Image.new('RGB', (90,60), 'red').save('photos/new.png')
    (here/'photos'/'x.heic').write_bytes(HEIC)
    written = [f.stat().st_mtime_ns for f in done]
    assert classify(['photos', 'gone.png'], 'out', model, workers=2) == 41
    assert [f.stat().st_mtime_ns for f in done] == written
    rows = {r['file']: r for r in table('out')}
    assert len(rows) == len(table('out')) == len(want)+2
    assert rows.pop('photos/x.heic')['reason'] == 'two workers died of it'
    assert rows.pop('photos/new.png')['label'] == 'glasses'
    assert list(rows.values()) == want
    with pytest.raises(DatasetError, match='another model'): classify(['photos'], 'out', tiny_model(here/'other.onnx'))

@needs_ray
def test_what_cannot_work_is_refused(model, here):
    photos(here/'photos', 2)
    (here/'empty').mkdir()
    Path('plain.csv').write_text('')
    with pytest.raises(PhotoError, match='no photo'): classify(['empty'], 'out', model)
    with pytest.raises(EyewearError, match='one of the files you gave'): classify(['photos'], 'photos', model)
    with pytest.raises(EyewearError, match='needs a folder'): classify(['photos'], 'plain.csv', model)
    with pytest.raises(EyewearError, match='127.0.0.1:1: no Ray cluster answers there'): start_ray('127.0.0.1:1')

@needs_ray
def test_list_of_paths_and_addresses(ray, model, here):
    photos(here/'photos', 6)
    with PhotoHost() as host:
        web = [host.url(o) for o in ('/ok/1.jpg', '/404/2.jpg', '/html/3.jpg', '/hops/2/4.jpg', '/flaky/5.jpg', '/huge/6.jpg')]
        private = web[0].replace('127.0.0.1', 'localhost')
        local = ['photos/000.png', str(here/'photos'/'sub'/'001.png'), 'photos/bad0.jpg', 'gone.png']
        files = [*local, *web, private]
        Path('list.csv').write_text('n,Photo\n'+''.join(f'{i},{o}\n' for i, o in enumerate(files)))
        n = classify(['list.csv'], 'out', model, workers=2, allow=host.netlocs)
        assert host.asked['/ok/1.jpg'] == 1
    assert n == 5
    rows = {r['file']: r for r in table('out')}
    assert list(rows) == sorted(files)
    assert [rows[o] for o in local] == plain(*local, model=model)
    assert [bool(rows[o]['label']) for o in web] == [True, False, False, True, True, False]
    assert rows[web[1]]['reason'] == '404 Not Found'
    reasons = {web[2]:'not a photo', web[5]:'over 20 MB', private:'private network'}
    for address, reason in reasons.items(): assert reason in rows[address]['reason']

def workers():
    "The processes of Ray's workers"
    import psutil
    return [o for o in psutil.Process().children(recursive=True) if 'MapWorker' in ' '.join(o.cmdline())]

@needs_ray
def test_a_worker_is_killed_and_the_job_is_complete(ray, model, here):
    for i in range(60): photo(here/f'{i:03}.png', i)
    want = plain('.', model=model)
    killed = []
    with PhotoHost(latency=.4) as host: # So that the job lasts, and the kill comes in the middle of it
        slow = [host.url(f'/ok/{i}.jpg') for i in range(80)]
        files = [o for pair in zip([r['file'] for r in want], slow) for o in pair]+slow[60:]
        Path('list.csv').write_text('\n'.join(['file', *files]))
        def kill():
            while host.total < 20: time.sleep(.05)
            killed.append(workers()[0])
            killed[0].kill()
        thread = threading.Thread(target=kill, daemon=True)
        thread.start()
        classify(['list.csv'], 'out', model, workers=2, allow=host.netlocs)
        thread.join(30)
    assert len(killed) == 1
    assert not killed[0].is_running()
    rows = table('out')
    assert [r['file'] for r in rows] == sorted(files)
    assert [r for r in rows if r['file'] not in slow] == by_name(want)
    assert all(r['label'] for r in rows)

@needs_ray
def test_script_on_a_cluster_by_its_address(ray, model, here):
    photos(here/'photos', 5)
    address = ray.get_runtime_context().gcs_address
    res = script('photos', '--model', model, '--engine', 'ray', '--out', 'out', '--address', address)
    assert res.returncode == 0, res.stderr
    assert '5 photo(s) classified; the table is out' in res.stderr
    assert table('out') == by_name(plain('photos', model=model))
    assert ray.is_initialized()
