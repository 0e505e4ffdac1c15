"From a photo to a label: the model file, the search for it, and `eyewear-predict`."
import contextlib, copy, csv, hashlib, http.server, io, multiprocessing, os, pickle, signal, socket, subprocess, sys, threading, time
import urllib.request, zlib
from pathlib import Path
import numpy as np
import pytest
from PIL import Image
from eyewear.core import EyewearError, PhotoError
from eyewear.predict import Classifier, ModelError, Prediction, find_model, from_array
from eyewear.photo import resize_for_model
from eyewear.data.folders import find_photos
from eyewear.predict import predict_files
from badphotos import BAD
from tinymodel import COLOURS, SEED, tiny_model

SCRIPT = 'import sys; from eyewear.cli import predict\nif __name__ == "__main__": sys.exit(predict())\n'

@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    "An empty home, and no model named"
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path/'work'))
    monkeypatch.delenv('EYEWEAR_MODEL', raising=False)
    monkeypatch.chdir(tmp_path)

@pytest.fixture
def model(tmp_path): return tiny_model(tmp_path/'eyewear.onnx')

@pytest.fixture
def script(tmp_path):
    "`eyewear-predict`, from a file as pip would install it"
    (tmp_path/'eyewear-predict').write_text(SCRIPT)
    def run(*args, **env):
        return subprocess.run([sys.executable, 'eyewear-predict', *map(str, args)], cwd=tmp_path, env=os.environ | env, capture_output=True, text=True)
    return run

def table(text): return list(csv.DictReader(io.StringIO(text)))

# -- The photo

@pytest.mark.parametrize('size,side', [(224,256), (128,152), (192,224), (300,348)])
def test_fit_is_the_squeeze_and_the_centre(size, side):
    img = Image.fromarray(np.random.default_rng(0).integers(0, 256, (331,517,3), dtype=np.uint8))
    edge = (side-size)//2
    want = np.asarray(img.resize((side,side), Image.Resampling.BILINEAR))[edge:edge+size, edge:edge+size]
    got = resize_for_model(img, size)
    assert got.dtype == np.uint8 and got.shape == (size,size,3) and (got == want).all()

@pytest.mark.parametrize('shape', [(331,517), (517,331), (40,40), (224,224), (256,256), (30,900)])
def test_fit_is_what_fastai_does_with_validation_photos(shape):
    pytest.importorskip('fastai', reason='the light environment has no fastai')
    from fastai.vision.all import PILImage, RandomResizedCrop
    img = Image.fromarray(np.random.default_rng(1).integers(0, 256, (*shape,3), dtype=np.uint8))
    want = np.asarray(RandomResizedCrop(224, min_scale=.5)(PILImage.create(np.asarray(img)), split_idx=1))
    assert (resize_for_model(img, 224) == want).all()

# -- The answer

@pytest.mark.parametrize('label,colour', list(zip(SEED, COLOURS.values())))
def test_label_and_all_probabilities(model, label, colour):
    p = Classifier(model)(Image.new('RGB', (640,480), colour))
    assert p.label == label and p.prob == p.probs[label] == max(p.probs.values())
    assert list(p.probs) == list(SEED) and sum(p.probs.values()) == pytest.approx(1, abs=1e-5)

def test_path_bytes_file_and_image_are_one(model, tmp_path):
    clf, img = Classifier(model), Image.new('RGB', (300,200), (90,200,30))
    img.save(tmp_path/'a.png')
    data = (tmp_path/'a.png').read_bytes()
    with open(tmp_path/'a.png', 'rb') as f: answers = [clf(o).probs for o in (img, tmp_path/'a.png', str(tmp_path/'a.png'), data, memoryview(data), f)]
    assert all(o == answers[0] for o in answers)

# -- What people pass

GREEN = np.full((60,90,3), (0,255,0), np.uint8)
ARRAYS = dict(hwc=GREEN, chw=GREEN.transpose(2,0,1), floats=GREEN/255, float32=(GREEN/255).astype(np.float32), float_0_255=GREEN.astype(float), int64=GREEN.astype(int),
    uint16=GREEN.astype(np.uint16)*257, rgba=np.dstack([GREEN, np.full((60,90), 255, np.uint8)]), strided=GREEN[::2,::-1], overshoot=GREEN/255*1.02-.01)
WHITE = dict(grey=np.full((60,90), 255, np.uint8), grey_floats=np.ones((60,90)), one_channel=np.ones((60,90,1)), bool=np.ones((60,90), bool), chw_grey=np.ones((1,60,90)))

@pytest.mark.parametrize('a,label', [*((o, 'sunglasses') for o in ARRAYS.values()), *((o, 'none') for o in WHITE.values())], ids=[*ARRAYS, *WHITE])
def test_array_is_a_photo(model, a, label):
    p = Classifier(model)(a)
    assert p.label == label and p.prob > .9

def test_array_is_the_photo_that_it_came_from():
    a = np.random.default_rng(0).integers(0, 256, (40,50,3), dtype=np.uint8)
    for same in (a, a.transpose(2,0,1), a/255, a.astype(np.uint16)*257, a.astype(np.int32)): assert (np.asarray(from_array(same)) == a).all()

@pytest.mark.parametrize('how', ['chw', 'hwc', 'floats', 'needs grad'])
def test_tensor_is_a_photo(model, how):
    torch = pytest.importorskip('torch', reason='the light environment has no torch')
    t = torch.tensor(GREEN) if how == 'hwc' else torch.tensor(GREEN).permute(2,0,1)
    if how in ('floats', 'needs grad'): t = t.float()/255
    assert Classifier(model)(t.requires_grad_() if how == 'needs grad' else t).label == 'sunglasses'

@pytest.mark.parametrize('a,word', [(np.zeros((0,0,3), np.uint8), 'no pixels'), (np.zeros((0,9)), 'no pixels'), (Image.new('RGB', (0,0)), 'no pixels'), (Image.new('L', (5,0)), 'no pixels'),
    (np.zeros((2,3,60,90)), 'shape (2, 3, 60, 90)'), (np.zeros(9), 'shape (9,)'), (np.zeros((9,9,5)), 'shape (9, 9, 5)'), (np.array(3), 'shape ()'),
    (np.full((9,9), np.nan), 'NaN or infinite'), (np.full((9,9), -2.1), 'from -2.1 to -2.1'), (np.full((9,9), 70000), '70000')])
def test_array_that_is_no_photo(model, a, word):
    with pytest.raises(PhotoError) as e: Classifier(model)(a)
    assert word in str(e.value) and '\n' not in str(e.value)

@pytest.mark.parametrize('x,word', [(None, 'NoneType'), (7, 'int'), ([1], 'list; for more than one photo there is `many`'), (('a.jpg',), 'tuple'), ({}, 'dict'), (object(), 'object'),
    (np.array(['a']), '<U1'), (np.array([None]), 'object'), (io.StringIO('a'), "open it with 'rb'"), (iter('a'), 'many')])
def test_what_is_no_photo_at_all_is_a_type_error_with_its_type(model, x, word):
    with pytest.raises(TypeError) as e: Classifier(model)(x)
    assert word in str(e.value)

@pytest.mark.parametrize('x', [b'a'*10**6, 'x'*5000, '/'.join(['folder']*900), 'data:image/png;base64,'+'A'*10**6, 'a\0b.jpg', 'two\nlines.jpg', 'https://example.org/a.jpg'])
def test_long_and_odd_names_fit_in_a_message(model, x):
    with pytest.raises(PhotoError) as e: Classifier(model)(x)
    assert len(str(e.value)) < 300 and '\n' not in str(e.value)
    if isinstance(x, str): assert 'no such file' in str(e.value)

def jpeg(colour='lime'):
    out = io.BytesIO()
    Image.new('RGB', (90,60), colour).save(out, 'JPEG')
    return out.getvalue()

def fed(write, data):
    "Write `data` elsewhere, in small pieces"
    def run():
        for i in range(0, len(data), 100): write(data[i:i+100])
    threading.Thread(target=run, daemon=True).start()

def test_streams_that_cannot_seek(model):
    clf, data = Classifier(model), jpeg()
    r, w = os.pipe()
    with open(r, 'rb', buffering=0) as f, open(w, 'wb', buffering=0) as g:
        fed(lambda b: (g.write(b), len(b) < 100 and g.close()), data+b'.'*(-len(data)%100)+b'.')
        assert clf(f).label == 'sunglasses'
    a, b = socket.socketpair()
    with a, b, b.makefile('rb') as f:
        fed(lambda o: (a.sendall(o), len(o) < 100 and a.shutdown(socket.SHUT_WR)), data+b'.'*(-len(data)%100)+b'.')
        assert clf(f).label == 'sunglasses'

@contextlib.contextmanager
def host(body, **headers):
    "A host on this machine that gives `body`, whatever is asked for"
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            for k, v in headers.items(): self.send_header(k.replace('_', '-'), v)
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError): self.wfile.write(body)
        def log_message(self, *args): pass
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try: yield f'http://127.0.0.1:{server.server_port}'
    finally: server.shutdown()

def test_answer_of_a_web_request_is_a_photo(model):
    with host(jpeg()) as url, urllib.request.urlopen(url) as r: assert Classifier(model)(r).label == 'sunglasses'

class Endless(io.RawIOBase):
    def readable(self): return True
    def readinto(self, b): return len(b)

class Broken(io.RawIOBase):
    def readable(self): return True
    def readinto(self, b): raise ConnectionResetError(104, 'Connection reset by peer')

@pytest.mark.parametrize('stream,word', [(Endless(), 'over 200 MB'), (Broken(), 'Connection reset')])
def test_stream_without_a_photo(model, stream, word):
    with pytest.raises(PhotoError, match=word): Classifier(model)(stream)

def test_closed_file_says_so(model):
    f = io.BytesIO(jpeg())
    f.close()
    with pytest.raises(PhotoError, match='closed'): Classifier(model)(f)

@pytest.mark.parametrize('kind', [str, Path, lambda o: o.read_bytes(), Image.open, lambda o: np.asarray(Image.open(o))], ids=['str','Path','bytes','image','array'])
def test_many_of_one_photo_is_that_photo(model, tmp_path, kind):
    (tmp_path/'a.jpg').write_bytes(jpeg())
    photo = kind(tmp_path/'a.jpg')
    (got, p), = Classifier(model).many(photo)
    assert got is photo and p.label == 'sunglasses'

def test_many_of_a_batch(model):
    assert [p.label for _, p in Classifier(model).many(np.stack([GREEN, 0*GREEN+255]))] == ['sunglasses', 'none']

# -- A classifier travels

@pytest.mark.parametrize('send', [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_classifier_is_copied_and_pickled(new, send):
    clf, img = Classifier(new, threads=2), Image.new('RGB', (9,9), 'red')
    again = send(clf)
    assert again.session is not clf.session and (again.path, again.threads) == (clf.path, 2) and again(img).probs == clf(img).probs
    assert pickle.loads(pickle.dumps(clf(img))).label == 'glasses'

def test_classifier_works_in_a_pool(model, tmp_path):
    for colour in ('red','lime'): (tmp_path/f'{colour}.jpg').write_bytes(jpeg(colour))
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        assert [o.label for o in pool.map(Classifier(model), [tmp_path/'red.jpg', tmp_path/'lime.jpg'])] == ['glasses', 'sunglasses']

def test_classifier_by_address_is_fetched_where_the_file_is_not(model, tmp_path, monkeypatch):
    data = model.read_bytes()
    with host(data) as url:
        kept = pickle.dumps(Classifier(f'{url}/m.onnx#sha256={hashlib.sha256(data).hexdigest()}'))
        [file] = (tmp_path/'work'/'models').iterdir()
        file.unlink()
        assert pickle.loads(kept)(Image.new('RGB', (9,9), 'red')).label == 'glasses' and file.exists()

def test_prediction_prints_well():
    p = Prediction(dict(cups=.25, plates=.75))
    assert (str(p), repr(p)) == ('Prediction: plates; Probability: 0.7500', 'plates 0.7500, cups 0.2500')

@pytest.mark.parametrize('name', BAD)
def test_bad_photo_is_a_photo_error(model, name):
    with pytest.raises(PhotoError) as e: Classifier(model)(BAD[name], name)
    assert str(e.value).startswith(f'{name}: ') and '\n' not in str(e.value)

# -- Whether anything like it was seen

@pytest.fixture
def new(tmp_path): return tiny_model(tmp_path/'new.onnx', unknown=True, UNKNOWN_THRESHOLD='0.3')

def test_unknown_and_seen(new):
    clf = Classifier(new)
    red, grey = clf(Image.new('RGB', (90,60), 'red')), clf(Image.new('RGB', (90,60), (85,85,85)))
    assert clf.threshold == .3 and red.unknown == pytest.approx(1-red.prob, abs=1e-6) and grey.unknown == pytest.approx(1-grey.prob, abs=1e-6)
    assert red.seen and not grey.seen and 'unlike' in repr(grey) and 'unlike' not in repr(red) and str(grey).startswith('Prediction: ')

def test_older_file_without_unknown_still_opens(model):
    p = Classifier(model)(Image.new('RGB', (90,60), 'red'))
    assert p.unknown is None and p.seen is True and Classifier(model).threshold == float('inf')

def test_file_without_a_threshold_calls_everything_seen(tmp_path):
    for value in ('', None): assert Classifier(tiny_model(tmp_path/'a.onnx', unknown=True, UNKNOWN_THRESHOLD=value))(Image.new('RGB', (9,9))).seen

@pytest.mark.parametrize('threads', [0, 1, 2])
def test_threads_do_not_change_the_answer(new, threads):
    img = Image.fromarray(np.random.default_rng(0).integers(0, 256, (99,99,3), dtype=np.uint8))
    assert Classifier(new, threads=threads)(img).probs == pytest.approx(Classifier(new)(img).probs)

# -- Many photos

@pytest.mark.parametrize('workers', [0, 1, 5])
def test_many_answers_come_in_order(new, workers):
    clf, colours = Classifier(new), ['red','lime','blue','white']*13
    photos = [Image.new('RGB', (64,64), c) for c in colours]
    got = list(clf.many(iter(photos), workers))
    assert [o for o, _ in got] == photos and [p.label for _, p in got] == [p.label for p in map(clf, photos)]

def test_many_does_not_run_ahead(new):
    taken = []
    def photos():
        for i in range(1000): taken.append(i); yield Image.new('RGB', (9,9), 'red')
    answers = Classifier(new).many(photos(), workers=2)
    for _ in range(10): next(answers)
    assert len(taken) <= 10+2*2+1
    answers.close()

def test_bad_photo_among_many_is_an_answer_too(new, tmp_path):
    (tmp_path/'letter.jpg').write_text('a letter')
    a, b, c = (o for _, o in Classifier(new).many([Image.new('RGB', (9,9), 'red'), tmp_path/'letter.jpg', b'']))
    assert a.label == 'glasses' and isinstance(b, PhotoError) and 'letter.jpg' in str(b) and isinstance(c, PhotoError)

def test_nothing_to_do(new): assert list(Classifier(new).many([])) == []

# -- The model file

def fails(model, *words):
    with pytest.raises(ModelError) as e: Classifier(model)
    assert isinstance(e.value, EyewearError) and '\n' not in str(e.value)
    assert all(o in str(e.value) for o in words), str(e.value)

def test_bad_model_says_what_to_do(tmp_path, model):
    whole, new = model.read_bytes(), tiny_model(tmp_path/'new.onnx', unknown=True, UNKNOWN_THRESHOLD='0.3').read_bytes()
    for name,data in {'empty':b'', 'text':b'no model', 'cut':whole[:300], 'new cut':new[:400], 'newer cut':new[:-40], 'noise':np.random.default_rng(0).bytes(5000)}.items():
        (tmp_path/f'{name}.onnx').write_bytes(data)
        fails(tmp_path/f'{name}.onnx', f'{name}.onnx: ', 'eyewear-run')

@pytest.mark.parametrize('change,word', [(dict(LABELS=None), 'metadata'), (dict(LABELS='glasses'), 'metadata'), (dict(LABELS='["a","b"]'), '2 labels'),
    (dict(LABELS='["a","a","b","c"]'), 'metadata'), (dict(LABELS='["../../victim","b","c","d"]'), "'../../victim'"), (dict(LABELS='["/etc","b","c","d"]'), 'no folder name may have'),
    (dict(LABELS='["a","",".b","c"]'), 'is empty'), (dict(LABELS='[1,2,3,4]'), 'not text'), (dict(LABELS='[]'), '0 labels'), (dict(LABELS='{"a":1}'), '1 labels'), (dict(QUESTION=None), 'metadata'),
    (dict(SIZE='large'), 'metadata'), (dict(UNKNOWN_THRESHOLD='far'), 'metadata'), (dict(UNKNOWN_THRESHOLD='nan'), 'metadata'), (dict(SIZE='128', RESIZE=None), 'photo'), (dict(SIZE='10000000'), 'metadata'), (dict(RESIZE='pad 224'), 'pad 224')])
def test_foreign_model_says_so(tmp_path, change, word): fails(tiny_model(tmp_path/'foreign.onnx', **change), 'foreign.onnx: ', word)

def test_long_name_of_a_model_is_cut():
    with pytest.raises(ModelError, match='there is no such model file') as e: Classifier('x'*5000)
    assert len(str(e.value)) < 400

def test_missing_model_says_so(tmp_path, monkeypatch):
    fails('no_such.onnx', 'no_such.onnx: ', 'eyewear-run')
    fails(None, 'there is no model yet', 'EYEWEAR_MODEL')
    monkeypatch.setenv('EYEWEAR_MODEL', 'gone.onnx')
    fails(None, 'gone.onnx: ', 'from EYEWEAR_MODEL')

def test_model_is_found_in_this_order(tmp_path, monkeypatch):
    def put(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return tiny_model(path)
    deploy = put(tmp_path/'deploy'/'eyewear.onnx')
    assert find_model() == deploy
    old = put(tmp_path/'work'/'runs'/'2026-01-01_00-00-00'/'eyewear.onnx')
    assert find_model() == old
    new = put(tmp_path/'work'/'runs'/'2026-01-02_00-00-00'/'eyewear.onnx')
    (tmp_path/'work'/'runs'/'2026-01-03_00-00-00').mkdir()
    assert find_model() == new
    monkeypatch.setenv('EYEWEAR_MODEL', str(put(tmp_path/'named'/'m.onnx')))
    assert find_model() == tmp_path/'named'/'m.onnx' and find_model(old) == old and find_model(old.parent) == old

# -- The table

def test_files_and_folders_become_a_table(model, tmp_path, script):
    photos = tmp_path/'photos'
    for o in ('sub','.hidden'): (photos/o).mkdir(parents=True)
    for name,colour in {'b.png':'red', 'sub/c.jpg':'blue', '.hidden/d.png':'red'}.items(): Image.new('RGB', (90,60), colour).save(photos/name)
    (photos/'a.jpg').write_text('a letter')
    (photos/'notes.txt').write_text('no photo, and not called one')
    res = script('photos', 'photos/notes.txt', 'gone.png', '--model', model)
    assert (res.returncode, res.stderr) == (0, 'photos: 1 file(s) left out, they do not end like photos\n')
    rows = table(res.stdout)
    assert [(Path(r['file']).as_posix(), r['label']) for r in rows] == [('photos/a.jpg',''), ('photos/b.png','glasses'), ('photos/sub/c.jpg','VR'),
                                                             ('photos/notes.txt',''), ('gone.png','')]
    assert 'not a photo' in rows[0]['reason'] and 'no such file' in rows[-1]['reason'] and not rows[1]['reason']
    assert [float(rows[1][f'prob_{o}']) for o in SEED] == pytest.approx([1,0,0,0], abs=1e-3) and rows[1]['prob'] == rows[1]['prob_glasses']

def test_table_says_how_unlike_each_photo_is(new, model, tmp_path):
    for name, colour in dict(a='red', b=(85,85,85)).items(): Image.new('RGB', (90,60), colour).save(tmp_path/f'{name}.png')
    (tmp_path/'c.jpg').write_text('a letter')
    for m in (new, model):
        predict_files([tmp_path/f for f in ('a.png','b.png','c.jpg')], m, tmp_path/'out.csv')
        a, b, c = table((tmp_path/'out.csv').read_text())
        assert c['unknown'] == '' and c['prob_glasses'] == ''
        if m == new: assert float(a['unknown']) < .3 < float(b['unknown'])
        else: assert a['unknown'] == b['unknown'] == ''

def test_table_goes_into_a_file(model, tmp_path, script):
    Image.new('RGB', (90,60), 'lime').save(tmp_path/'ä, b.png')
    res = script('ä, b.png', '--model', model, '--out', 'out.csv')
    assert res.returncode == 0 and res.stdout == '' and 'out.csv' in res.stderr
    row, = table((tmp_path/'out.csv').read_text(encoding='utf-8'))
    assert (row['file'], row['label']) == ('ä, b.png', 'sunglasses')

def test_script_ends_in_one_line(model, tmp_path, script):
    (tmp_path/'letter.jpg').write_text('a letter')
    (tmp_path/'nothing').mkdir()
    (tmp_path/'broken.onnx').write_text('no model')
    for args,word in [(['letter.jpg'], 'there is no model yet'), (['letter.jpg', '--model', 'gone.onnx'], 'gone.onnx'),
                      (['letter.jpg', '--model', 'broken.onnx'], 'broken.onnx'), (['letter.jpg', '--model', model], 'none of the 1 file'),
                      (['nothing', '--model', model], 'nothing: no photo'), ([], 'no photo was named'),
                      (['letter.jpg', '--model', model, '--out', 'gone/out.csv'], 'gone/out.csv')]:
        env = {} if '--model' in args else dict(EYEWEAR_HOME=str(tmp_path/'none'))
        res = script(*args, **env)
        assert res.returncode == 2 and word in res.stderr and res.stderr.count('\n') == 1, (args, res.stderr)

def test_help_tells_of_each_argument(script):
    res = script('--help')
    assert res.returncode == 0 and all(o in res.stdout for o in ('paths', '--model', '--out', 'EYEWEAR_MODEL'))

def test_reader_may_stop_early(model, tmp_path):
    (tmp_path/'eyewear-predict').write_text(SCRIPT)
    Image.new('RGB', (9,9), 'red').save(tmp_path/'a.png')
    with subprocess.Popen([sys.executable, 'eyewear-predict', *['a.png']*3000, '--model', str(model)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        assert p.stdout.readline().startswith(b'file,')
        p.stdout.close()
        assert p.stderr.read() == b''
    assert p.returncode == 0

def test_is_a_function_too(model, tmp_path):
    Image.new('RGB', (90,60), 'blue').save(tmp_path/'a.png')
    assert predict_files(['a.png'], model, tmp_path/'out.csv') == 1

# -- What belongs to the user stays

def tree(path): return {o: (o.read_bytes(), o.is_symlink()) for o in path.rglob('*') if o.is_file()}

@pytest.fixture
def mine(tmp_path):
    "Photos, a list of them, links to both"
    (tmp_path/'photos').mkdir()
    for colour in ('red','lime'): (tmp_path/'photos'/f'{colour}.jpg').write_bytes(jpeg(colour))
    (tmp_path/'mine.csv').write_text('file\nphotos/red.jpg\nphotos/lime.jpg\n')
    (tmp_path/'photos'/'about.csv').write_text('file_name,text\nred.jpg,"a letter, to you"\n')
    return tmp_path

@pytest.mark.parametrize('paths,out', [(['mine.csv'], 'mine.csv'), (['mine.csv'], 'photos/../mine.csv'), (['mine.csv'], 'link.csv'), (['photos/red.jpg'], 'photos/red.jpg'),
    (['photos'], 'photos/red.jpg'), (['photos'], 'photos/about.csv'), (['photos'], 'photo.csv'), (['mine.csv'], 'photo.csv'), (['photos/*'], 'photos/about.csv'), (['photos'], 'new.jpg')])
def test_table_never_takes_the_place_of_what_is_looked_at(model, mine, script, paths, out):
    (mine/'link.csv').symlink_to('mine.csv'), (mine/'photo.csv').symlink_to('photos/red.jpg')
    before = tree(mine)
    res = script(*paths, '--model', model, '--out', out)
    assert res.returncode == 2 and out in res.stderr and res.stderr.count('\n') == 1, res.stderr
    assert tree(mine) == before

@pytest.mark.parametrize('paths', [['fotos'], ['photos','fotos'], ['fotos.csv'], ['gone.jpg'], ['letter.jpg'], ['empty'], ['wide.csv'], ['mine.csv','--column','picture']])
def test_table_of_yesterday_stays_when_there_is_none_today(model, mine, script, paths):
    (mine/'letter.jpg').write_text('a letter'), (mine/'empty').mkdir(), (mine/'wide.csv').write_text('file\nphotos/red.jpg\na,b,c\n')
    (mine/'answers.csv').write_text('yesterday')
    before = tree(mine)
    res = script(*paths, '--model', model, '--out', 'answers.csv')
    assert res.returncode == 2 and res.stderr.count('\n') == 1 and tree(mine) == before, res.stderr

def test_table_keeps_its_permissions_and_a_link_its_target(model, mine):
    (mine/'real.csv').write_text('yesterday')
    (mine/'real.csv').chmod(0o640)
    (mine/'link.csv').symlink_to('real.csv')
    predict_files(['photos'], model, 'link.csv')
    assert (mine/'link.csv').is_symlink() and len(table((mine/'real.csv').read_text())) == 2
    if os.name == 'posix': assert (mine/'real.csv').stat().st_mode & 0o777 == 0o640

def test_table_of_yesterday_in_the_folder_is_replaced(model, mine):
    for _ in range(2): assert predict_files(['photos'], model, 'photos/answers.csv') == 2
    assert len(table((mine/'photos'/'answers.csv').read_text())) == 2

@pytest.mark.skipif(os.name != 'posix', reason='signals')
def test_ctrl_c_leaves_the_table_of_yesterday(model, mine):
    (mine/'eyewear-predict').write_text(SCRIPT)
    (mine/'answers.csv').write_text('yesterday')
    names = {o.name for o in mine.iterdir()}
    args = [sys.executable, 'eyewear-predict', *['photos']*3000, '--model', str(model), '--out', 'answers.csv']
    with subprocess.Popen(args, cwd=mine, stderr=subprocess.PIPE, text=True) as p:
        while not list(mine.glob('.*.tmp')): time.sleep(.01)
        p.send_signal(signal.SIGINT)
        err = p.communicate(timeout=60)[1]
    assert p.returncode == 130 and err.strip().count('\n') == 0 and 'stopped; a file named by --out is as it was' in err, err
    assert (mine/'answers.csv').read_text() == 'yesterday' and {o.name for o in mine.iterdir()} == names

full = pytest.mark.skipif(not Path('/dev/full').exists(), reason='no /dev/full here')

@full
def test_full_disk_is_one_line(model, mine, script):
    res = script('photos', '--model', model, '--out', '/dev/full')
    assert res.returncode == 2 and res.stderr.count('\n') == 2 and '/dev/full: cannot be written (No space' in res.stderr, res.stderr # The other line: what was left out
    for paths in (['photos'], ['photos/*.jpg']*3000): # With and without more than is kept in memory
        with open('/dev/full', 'w') as f: res = subprocess.run([sys.executable, 'eyewear-predict', *paths, '--model', str(model)], stdout=f, stderr=subprocess.PIPE, text=True)
        assert res.returncode == 2 and 'standard output: cannot be written (No space' in res.stderr and 'Traceback' not in res.stderr and 'ignored' not in res.stderr, res.stderr

@pytest.mark.skipif(not Path('/dev/stdout').exists(), reason='no /dev/stdout here')
def test_devices_and_pipes_are_written_to(model, mine, script):
    assert len(table(script('photos', '--model', model, '--out', '/dev/stdout').stdout)) == 2
    (mine/'all.csv').write_text('before\n')
    with open('all.csv', 'a') as f: subprocess.run([sys.executable, 'eyewear-predict', 'photos', '--model', str(model), '--out', '/dev/stdout'], stdout=f)
    assert (mine/'all.csv').read_text().startswith('before\nfile,label')

# -- Names, lists and addresses as people have them

def put_odd_name(folder):
    "A photo whose name is no text; skips where the file system refuses it"
    try: (folder/os.fsdecode(b'caf\xe9.jpg')).write_bytes(jpeg())
    except OSError: pytest.skip('every name is text here')

@pytest.mark.skipif(sys.platform == 'win32', reason='every name is text there')
def test_name_that_is_no_text_is_spelled_out(model, mine, script):
    put_odd_name(mine/'photos')
    want = [r'photos/caf\xe9.jpg', 'photos/lime.jpg', 'photos/red.jpg']
    for env in ({}, dict(PYTHONIOENCODING='cp1252'), dict(LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0')):
        res = script('photos', '--model', model, **env)
        assert res.returncode == 0 and [r['file'] for r in table(res.stdout)] == want and all(r['label'] for r in table(res.stdout)), res.stderr
    script('photos', '--model', model, '--out', 'a.csv')
    assert [r['file'] for r in table((mine/'a.csv').read_text(encoding='utf-8'))] == want

@pytest.mark.skipif(sys.platform == 'win32', reason='no such locale there')
@pytest.mark.parametrize('env', [dict(PYTHONIOENCODING='cp1252'), dict(LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0')])
def test_name_that_the_terminal_cannot_show(model, mine, script, env):
    (mine/'写真').mkdir(), (mine/'写真'/'あ.jpg').write_bytes(jpeg())
    res = script('写真', '--model', model, **env)
    assert res.returncode == 0 and table(res.stdout)[0]['file'] == r'\u5199\u771f/\u3042.jpg'
    res = script('写真', '--model', model, '--out', '写真.csv', **env)
    assert res.returncode == 0 and table((mine/'写真.csv').read_text(encoding='utf-8'))[0]['file'] == '写真/あ.jpg', res.stderr
    res = script('無い', '--model', model, **env)
    assert res.returncode == 2 and r'\u7121\u3044: there is no such' in res.stderr and res.stderr.count('\n') == 1

def test_addresses_are_fetched_from_the_public_web_only(model, mine, script, monkeypatch):
    with host(jpeg()) as url:
        res = script(f'{url}/a.jpg', 'photos/red.jpg', '--model', model)
        own, red = table(res.stdout)
        assert res.returncode == 0 and own['file'] == f'{url}/a.jpg' and 'private network' in own['reason'] and red['label'] == 'glasses'
        predict_files([f'{url}/a.jpg', 'photos/red.jpg'], model, 'out.csv', allow=[url.removeprefix('http://')])
    assert [r['label'] for r in table(Path('out.csv').read_text())] == ['sunglasses', 'glasses']

@pytest.mark.parametrize('paths', ['photos', Path('photos')])
def test_a_single_path_is_no_list_of_letters(model, mine, paths): assert predict_files(paths, model, 'out.csv') == 2

def test_patterns_are_expanded_and_a_file_of_that_name_is_itself(mine):
    (mine/'[1].jpg').write_bytes(jpeg())
    names = lambda *o: [p.as_posix() for p in find_photos(o)]
    assert names('photos/*.jpg') == ['photos/lime.jpg', 'photos/red.jpg'] and names('[1].jpg') == ['[1].jpg'] and names('[2].jpg') == ['[2].jpg']

@pytest.mark.parametrize('text,said', [('n,text\n1,a\n', 'skipped'), ('file_name,text\nred.jpg,a\n', ''), ('file_name,text\nred.jpg,a,b\n', 'skipped'), ('', 'empty')])
def test_a_list_among_photos_does_not_stop_them(model, mine, script, text, said):
    (mine/'photos'/'about.csv').write_text(text)
    res = script('photos/*', '--model', model)
    assert res.returncode == 0 and len(table(res.stdout)) == 2 and said in res.stderr and res.stderr.count('\n') == bool(said), res.stderr

@pytest.mark.parametrize('name,text', [('a.csv', 'file\nred.jpg\n'), ('A.CSV', 'File_Name;n\r\nred.jpg;1\r\n'), ('a.csv', '\ufeffpath\nphotos/red.jpg\n'), ('a.tsv', 'n\tfilename\n1\tred.jpg\n')])
def test_list_is_relative_to_its_own_folder_then_to_this_one(mine, name, text):
    (mine/'photos'/name).write_bytes(text.encode())
    assert [p.as_posix() for p in find_photos([f'photos/{name}'])] == ['photos/red.jpg']

def test_hidden_and_system_folders_never_count(mine):
    for o in ('.ipynb_checkpoints', '__MACOSX', '@eaDir', '.trash'):
        (mine/'photos'/o).mkdir()
        (mine/'photos'/o/'a.jpg').write_bytes(jpeg())
    (mine/'photos'/'._red.jpg').write_bytes(b'x')
    assert [p.name for p in find_photos(['photos'])] == ['lime.jpg', 'red.jpg']

# -- A model by address

PACKED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (400_000_000, 400_000_000))
from eyewear.core import ModelError
from eyewear.predict import fetch_model
try: fetch_model(sys.argv[1]+'/m.onnx#sha256='+'0'*64)
except ModelError as e: print(e)
"""

def packed_twice(mb):
    "So many MB of zeros in gzip in gzip"
    inner, outer = (zlib.compressobj(1, zlib.DEFLATED, 31) for _ in range(2))
    out = b''.join(outer.compress(inner.compress(bytes(2**20))) for _ in range(mb))
    return out+outer.compress(inner.flush())+outer.flush()

@pytest.mark.skipif(sys.platform != 'linux', reason='no limit on memory')
@pytest.mark.parametrize('how', ['gzip, gzip', 'gzip', 'br'])
def test_packed_model_is_refused_before_it_is_unpacked(how):
    with host(packed_twice(1000), Content_Encoding=how) as url: res = subprocess.run([sys.executable, '-c', PACKED, url], capture_output=True, text=True)
    assert res.returncode == 0 and f'packed as {how}, which we did not ask for' in res.stdout, res.stdout+res.stderr

# -- What to call

def run_module(name): return subprocess.run([sys.executable, '-m', name], capture_output=True, text=True, stdin=subprocess.DEVNULL)

def test_package_lists_its_commands():
    res = run_module('eyewear')
    names = [l.split()[0] for l in res.stdout.splitlines()[1:]]
    assert res.returncode == 0 and 'eyewear-predict' in names and 'eyewear-run' in names and all(len(l.split()) > 3 for l in res.stdout.splitlines())

@pytest.mark.parametrize('module', ['predict', 'download', 'train', 'interpret', 'export'])
def test_module_says_what_to_call(module):
    res = run_module(f'eyewear.{module}')
    assert res.returncode == 2 and res.stderr == f'eyewear: `python -m eyewear.{module}` does nothing; run `eyewear-{module}`\n' and not res.stdout

def test_module_without_a_command_points_at_the_list():
    assert '`python -m eyewear` lists the commands' in run_module('eyewear.lessons').stderr
