"Ray looks at photos as the plain loop does, and survives what kills a worker."
import csv, importlib.util, os, signal, subprocess, sys, threading, time
from pathlib import Path
import pytest
from PIL import Image
from eyewear.core import DatasetError, EyewearError, MissingExtra, PhotoError, SourceError
from eyewear.predict import csv_head
from eyewear.data.folders import find_photos
from eyewear.predict import predict_files
from badphotos import BAD
from photohost import PhotoHost
from tinymodel import SEED, tiny_model

HAVE = all(importlib.util.find_spec(o) for o in ('ray', 'pyarrow'))
needs_ray = pytest.mark.skipif(not HAVE, reason="needs `pip install 'eyewear[ray]'`")
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
    place = tmp_path_factory.mktemp('deadly')
    (place/'pillow_heif.py').write_text(KILLER)
    with pytest.MonkeyPatch.context() as m:
        m.setenv('RAY_USAGE_STATS_ENABLED', '0')
        m.setenv('PYTHONPATH', os.pathsep.join([str(place), str(Path(__file__).parents[2]), os.environ.get('PYTHONPATH', '')]))
        ray.init(address='local', num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level='warning')
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield ray
        ray.shutdown()

@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    "An empty folder to work in"
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path/'work'))
    monkeypatch.delenv('EYEWEAR_MODEL', raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path

@pytest.fixture
def model(tmp_path): return tiny_model(tmp_path/'eyewear.onnx', unknown=True, UNKNOWN_THRESHOLD='0.3')

def photos(folder, n):
    "`n` photos and all that is none in `folder`"
    (folder/'sub').mkdir(parents=True)
    for i in range(n): Image.new('RGB', (90,60), (40*i%256, 90*i%256, 170*i%256)).save(folder/('sub' if i%2 else '.')/f'{i:03}.png')
    for i, data in enumerate(BAD.values()): (folder/f'bad{i}.jpg').write_bytes(data)
    return folder

def plain(*paths, model, **kw):
    "What `eyewear-predict` writes, by name"
    predict_files(paths, model, 'plain.csv', **kw)
    with open('plain.csv', newline='', encoding='utf-8') as f: return [{k: v for k, v in r.items()} for r in csv.DictReader(f)]

def table(out):
    "The Parquet in `out` as `plain` gives it, in the order of names"
    from pyarrow.dataset import dataset
    t = dataset(out, format='parquet').to_table()
    assert t.column_names == csv_head(SEED) and {str(t.schema.field(o).type) for o in ('prob','unknown','prob_VR')} == {'double'}
    say = lambda v: '' if v is None else v if isinstance(v, str) else f'{v:.4f}'
    return sorted(({k: say(v) for k, v in r.items()} for r in t.to_pylist()), key=lambda r: r['file'])

def by_name(rows): return sorted(rows, key=lambda r: r['file'])

# -- Without Ray

def test_missing_extra_says_so(model, monkeypatch):
    from eyewear.model.cluster import classify
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name, *a: None if name == 'ray' else find(name, *a))
    with pytest.raises(MissingExtra) as e: classify(['.'], 'out', model)
    assert "needs ray: run `pip install 'eyewear[ray]'`" in str(e.value) and not Path('out').exists()

def test_ray_is_imported_when_it_is_asked_for():
    code = 'import sys, eyewear.cli, eyewear.model.cluster; sys.exit("ray" in sys.modules or "pyarrow" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0
    for f in (Path(__file__).parents[2]/'eyewear').rglob('*.py'):
        assert not [l for l in f.read_text(encoding='utf8').splitlines() if l.startswith(('from eyewear.model.cluster', 'import ray'))], f.name

def script(*args, **env):
    code = 'import sys; from eyewear.cli import predict\nif __name__ == "__main__": sys.exit(predict())\n'
    Path('eyewear-predict').write_text(code)
    return subprocess.run([sys.executable, 'eyewear-predict', *map(str, args)], env=os.environ | env, capture_output=True, text=True)

@pytest.mark.parametrize('args,word', [(['a.png', '--engine', 'rey'], '--engine rey'), (['a.png', '--engine', 'ray'], '--out answers')])
def test_script_ends_in_one_line(args, word):
    res = script(*args)
    assert res.returncode == 2 and word in res.stderr and res.stderr.count('\n') == 1, res.stderr

def test_plain_loop_reads_a_list_too(model, here):
    photos(here/'photos', 3)
    Path('list.csv').write_text('n,picture\n1,photos/000.png\n\n2,gone.png\n3,\n')
    a, b = plain('list.csv', model=model, column='picture')
    assert a['label'] and a['file'] == 'photos/000.png' and 'no such file' in b['reason']
    res = script('list.csv', '--model', model)
    assert res.returncode == 2 and 'list.csv' in res.stderr and 'n, picture' in res.stderr and '--column' in res.stderr, res.stderr

def test_list_in_parquet(here):
    pa = pytest.importorskip('pyarrow', reason="needs `pip install 'eyewear[ray]'`")
    from pyarrow import parquet
    parquet.write_table(pa.table(dict(n=[1,2,3], URL=['a.png', None, 'https://a.org/b c.png'])), 'list.parquet')
    assert list(find_photos(['list.parquet'])) == [Path('a.png'), 'https://a.org/b c.png'] and list(find_photos(['list.parquet'], 'n')) == list(map(Path, '123'))
    Path('broken.parquet').write_text('a letter')
    for name in ('broken.parquet', 'gone.parquet'):
        with pytest.raises(SourceError, match=name): list(find_photos([name]))

@pytest.mark.skipif(sys.platform != 'linux', reason='every name is text there')
def test_worker_opens_a_photo_whose_name_is_no_text(model, here):
    pa = pytest.importorskip('pyarrow', reason="needs `pip install 'eyewear[ray]'`")
    from eyewear.model.cluster import Worker
    Image.new('RGB', (90,60), 'red').save(os.fsdecode(b'caf\xe9.png'))
    row, = Worker(model.read_bytes(), str(here), str(here/'notes'))(pa.table({'file':[b'caf\xe9.png']})).to_pylist()
    assert (row['file'], row['label'], row['reason']) == (r'caf\xe9.png', 'glasses', None)

# -- With two workers

@needs_ray
def test_folder_is_as_in_the_plain_loop_and_gone_on_with(ray, model, here):
    from eyewear.model.cluster import classify
    photos(here/'photos', 40)
    want = by_name(plain('photos', 'gone.png', model=model))
    n = classify(['photos', 'gone.png'], 'out', model, workers=2)
    assert table('out') == want and len(want) == 41+len(BAD) and n == 40
    bad = [r['reason'] for r in want if not r['label']]
    assert len(bad) == 1+len(BAD) and all(bad) and not any(str(here) in o for o in bad)

    whole = sorted(Path('out').glob('*.parquet'))                    # some more photos, two that kill, and a job that was cut off
    Path('out/0.parquet').write_bytes(whole[0].read_bytes()[:300])
    Image.new('RGB', (90,60), 'red').save('photos/new.png')
    for o in ('x.heic', 'y.heic'): (here/'photos'/o).write_bytes(HEIC)
    before = {f: f.stat().st_mtime_ns for f in whole}
    assert classify(['photos', 'gone.png'], 'out', model, workers=2) == 41
    rows = {r['file']: r for r in table('out')}
    assert {f: f.stat().st_mtime_ns for f in whole} == before and len(table('out')) == len(rows) == len(want)+3
    assert [r for o, r in rows.items() if 'heic' not in o and 'new' not in o] == want and rows['photos/new.png']['label'] == 'glasses'
    assert [rows[f'photos/{o}.heic']['reason'] for o in 'xy'] == ['two workers died of it']*2

    other = tiny_model(here/'other.onnx')
    with pytest.raises(DatasetError, match='another model'): classify(['photos'], 'out', other)
    (here/'empty').mkdir()
    with pytest.raises(PhotoError, match='no photo'): classify(['empty'], 'out', model)
    with pytest.raises(EyewearError, match='one of the files you gave'): classify(['photos'], 'photos', model)
    with pytest.raises(EyewearError, match='needs a folder'): classify(['photos'], 'plain.csv', model)

@needs_ray
def test_list_of_paths_and_addresses(ray, model, here):
    from eyewear.model.cluster import classify
    photos(here/'photos', 6)
    with PhotoHost() as host:
        web = [host.url(o) for o in ('/ok/1.jpg', '/404/2.jpg', '/html/3.jpg', '/hops/2/4.jpg', '/flaky/5.jpg', '/huge/6.jpg')]
        private = web[0].replace('127.0.0.1', 'localhost')
        local = ['photos/000.png', str(here/'photos'/'sub'/'001.png'), 'photos/bad0.jpg', 'gone.png']
        Path('list.csv').write_text('n,Photo\n'+''.join(f'{i},{o}\n' for i, o in enumerate([*local, *web, private])))
        n = classify(['list.csv'], 'out', model, workers=2, allow=host.netlocs)
        asked = host.asked['/ok/1.jpg']
    rows = {r['file']: r for r in table('out')}
    assert list(rows) == sorted([*local, *web, private])
    assert [rows[o] for o in local] == plain(*local, model=model)
    assert [bool(rows[o]['label']) for o in web] == [True, False, False, True, True, False] and n == 5
    assert rows[web[1]]['reason'] == '404 Not Found' and 'not a photo' in rows[web[2]]['reason'] and 'over 20 MB' in rows[web[5]]['reason']
    assert 'private network' in rows[private]['reason'] and asked == 1

def workers():
    "The processes of the workers that are there"
    import psutil
    return [o for o in psutil.Process().children(recursive=True) if 'MapWorker' in ' '.join(o.cmdline())]

@needs_ray
def test_a_worker_is_killed_and_the_job_is_complete(ray, model, here):
    from eyewear.model.cluster import classify
    for i in range(60): Image.new('RGB', (90,60), (4*i, 255-4*i, 90)).save(here/f'{i:03}.png')
    want, killed = plain('.', model=model), []
    with PhotoHost(latency=.4) as host: # So that the job lasts, and the kill is in its midst
        slow = [host.url(f'/ok/{i}.jpg') for i in range(80)]
        Path('list.csv').write_text('file\n'+'\n'.join(f'{o}\n{u}' for o, u in zip([r['file'] for r in want], slow))+'\n'+'\n'.join(slow[60:]))
        def kill():
            while host.total < 20: time.sleep(.05)
            killed.append(workers()[0])
            killed[0].kill()
        thread = threading.Thread(target=kill, daemon=True)
        thread.start()
        classify(['list.csv'], 'out', model, workers=2, allow=host.netlocs)
        thread.join(30)
    rows = table('out')
    assert len(killed) == 1 and not killed[0].is_running()
    assert len(rows) == 140 and {r['file'] for r in rows} == {*slow, *(r['file'] for r in want)}
    assert [r for r in rows if not r['file'].startswith('http')] == by_name(want) and all(r['label'] for r in rows)

@needs_ray
def test_script_on_a_cluster_by_its_address(ray, model, here):
    photos(here/'photos', 5)
    res = script('photos', '--model', model, '--engine', 'ray', '--out', 'out', '--address', ray.get_runtime_context().gcs_address)
    assert res.returncode == 0 and '5 photo(s) classified; the table is out' in res.stderr, res.stderr
    assert table('out') == by_name(plain('photos', model=model)) and ray.is_initialized()
    res = script('photos', '--model', model, '--engine', 'ray', '--out', 'other', '--address', '127.0.0.1:1')
    assert res.returncode == 2 and '127.0.0.1:1: no Ray cluster answers there' in res.stderr and res.stderr.count('\n') == 1, res.stderr
