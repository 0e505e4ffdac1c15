"From a photo to a label: the model file, the search for it, and `eyewear-predict`."
import copy, csv, hashlib, inspect, io, os, pickle, re, signal, socket, subprocess, sys, threading, time, urllib.request
from importlib.metadata import entry_points
from pathlib import Path
import numpy as np
import pytest
from PIL import Image
from eyewear import predict
from eyewear.core import EyewearError, PhotoError
from eyewear.data.folders import find_photos
from eyewear.photo import resize_for_model
from eyewear.predict import Classifier, ModelError, find_model, from_array, predict_files
from badphotos import picture
from localhost import host, reply
from tinymodel import SEED, tiny_model

posix = pytest.mark.skipif(os.name != 'posix', reason='signals')
not_windows = pytest.mark.skipif(sys.platform == 'win32', reason='names and locales are others there')

pytestmark = pytest.mark.usefixtures('here')

@pytest.fixture(scope='module')
def model(tmp_path_factory): return tiny_model(tmp_path_factory.mktemp('old')/'eyewear.onnx')

@pytest.fixture(scope='module')
def new(tmp_path_factory):
    "A model file that tells what it has seen"
    return tiny_model(tmp_path_factory.mktemp('new')/'new.onnx', unknown=True, UNKNOWN_THRESHOLD='0.3')

@pytest.fixture(scope='module')
def clf(model): return Classifier(model)

@pytest.fixture
def command(model):
    "`eyewear-predict` with the tiny model"
    return [str(Path(sys.executable).with_name('eyewear-predict')), '--model', str(model)]

@pytest.fixture
def script(command):
    "The answer of that command with `args`"
    def run(*args, stdout=subprocess.PIPE, **env):
        env = os.environ | env
        return subprocess.run([*command, *args], env=env, stdout=stdout, stderr=subprocess.PIPE, text=True)
    return run

def table(text): return list(csv.DictReader(io.StringIO(text)))
def plain(colour='red', size=(90,60)): return Image.new('RGB', size, colour)
def noise(seed, *shape): return np.random.default_rng(seed).integers(0, 256, (*shape,3), dtype=np.uint8)
def sha(data): return hashlib.sha256(data).hexdigest()
def jpeg(colour='lime'): return picture('JPEG', (90,60), colour)

# -- The size of the model

SIZES = [(331,517,224), (517,331,224), (40,40,224), (224,224,224), (256,256,224), (30,900,224), (99,80,128), (9,8,300)]
@pytest.mark.parametrize('height, width, size', SIZES)
def test_resize_is_what_fastai_does_with_validation_photos(height, width, size):
    pytest.importorskip('fastai', reason='the light environment has no fastai')
    from fastai.vision.all import PILImage, RandomResizedCrop
    a = noise(1, height, width)
    want = np.asarray(RandomResizedCrop(size, min_scale=.5)(PILImage.create(a), split_idx=1))
    assert (resize_for_model(Image.fromarray(a), size) == want).all()

# -- The answer

def test_path_bytes_file_and_image_are_one(clf, tmp_path):
    img = plain((90,200,30))
    path = tmp_path/'a.png'
    img.save(path)
    data = path.read_bytes()
    with open(path, 'rb') as f: answers = [clf(o).probs for o in (img, path, str(path), data, memoryview(data), f)]
    assert all(o == answers[0] for o in answers) and list(answers[0]) == list(SEED)

# -- What people pass

GREEN = np.full((60,90,3), (0,255,0), np.uint8)
PHOTO = noise(0, 60, 90)
SAME = dict(hwc=PHOTO, chw=PHOTO.transpose(2,0,1), floats=PHOTO/255, float32=(PHOTO/255).astype(np.float32),
    float_0_255=PHOTO.astype(float), int32=PHOTO.astype(np.int32), int64=PHOTO.astype(int),
    uint16=PHOTO.astype(np.uint16)*257, rgba=np.dstack([PHOTO, np.full((60,90), 255, np.uint8)]),
    strided=PHOTO[::-1,::-1].copy()[::-1,::-1], overshoot=np.select([PHOTO==0, PHOTO==255], [-.01, 1.01], PHOTO/255))
@pytest.mark.parametrize('kind', SAME)
def test_array_is_the_photo_that_it_came_from(kind):
    assert (np.asarray(from_array(SAME[kind]).convert('RGB')) == PHOTO).all()

WHITES = dict(grey=np.full((60,90), 255, np.uint8), grey_floats=np.ones((60,90)), one_channel=np.ones((60,90,1)),
    bool=np.ones((60,90), bool), chw_grey=np.ones((1,60,90)))
@pytest.mark.parametrize('kind', WHITES)
def test_white_array_is_a_white_photo(clf, kind): assert clf(WHITES[kind]).label == 'none'

@pytest.mark.parametrize('kind', ['chw', 'hwc', 'floats', 'needs grad'])
def test_tensor_is_a_photo(clf, kind):
    torch = pytest.importorskip('torch', reason='the light environment has no torch')
    t = torch.tensor(GREEN)
    if kind != 'hwc': t = t.permute(2,0,1)
    if kind in ('floats', 'needs grad'): t = t.float()/255
    if kind == 'needs grad': t.requires_grad_()
    assert clf(t).label == 'sunglasses'

NO_PHOTOS = [(np.zeros((0,9)), 'no pixels'), (Image.new('L', (5,0)), 'no pixels'), (np.zeros(9), 'shape (9,)'),
    (np.zeros((2,3,60,90)), 'shape (2, 3, 60, 90)'), (np.zeros((9,9,5)), 'shape (9, 9, 5)'), (np.array(3), 'shape ()'),
    (Image.new('RGB', (0,0)), 'no pixels'), (np.full((9,9), np.nan), 'NaN or infinite'), (np.full((9,9), 70000), '70000')]
@pytest.mark.parametrize('a, word', NO_PHOTOS)
def test_array_that_is_no_photo(clf, a, word):
    with pytest.raises(PhotoError) as e: clf(a)
    assert word in str(e.value) and '\n' not in str(e.value)

WRONG_TYPES = [([1], 'list; for more than one photo there is `many`'), ({}, 'dict'), (iter('a'), 'many'),
    (object(), 'object'), (np.array(['a']), '<U1'), (np.array([None]), 'object'), (io.StringIO('a'), "open it with 'rb'")]
@pytest.mark.parametrize('o, word', WRONG_TYPES)
def test_what_is_no_photo_at_all_is_a_type_error_with_its_type(clf, o, word):
    with pytest.raises(TypeError) as e: clf(o)
    assert word in str(e.value)

ODD_NAMES = [b'a'*10**6, 'x'*5000, '/'.join(['folder']*900), 'data:image/png;base64,'+'A'*10**6, 'a\0b.jpg',
    'two\nlines.jpg', 'https://example.org/a.jpg']
@pytest.mark.parametrize('name', ODD_NAMES)
def test_long_and_odd_names_fit_in_a_message(clf, name):
    with pytest.raises(PhotoError) as e: clf(name)
    assert len(str(e.value)) < 300 and '\n' not in str(e.value)
    if isinstance(name, str): assert 'no such file' in str(e.value)

def test_error_begins_with_the_name_of_the_bytes(clf):
    with pytest.raises(PhotoError, match='^a.jpg: .*not a photo'): clf(b'a letter', 'a.jpg')

# -- Streams

def test_pipe_cannot_seek_and_is_a_photo(clf):
    data = jpeg()
    r, w = os.pipe()
    def write_slowly():
        with open(w, 'wb', buffering=0) as f:
            for i in range(0, len(data), 100): f.write(data[i:i+100])
    threading.Thread(target=write_slowly, daemon=True).start()
    with open(r, 'rb', buffering=0) as f: assert clf(f).label == 'sunglasses'

def test_answer_of_a_web_request_cannot_seek_and_is_a_photo(clf):
    with host(jpeg()) as h, urllib.request.urlopen(h.url) as r: assert clf(r).label == 'sunglasses'

class Endless(io.RawIOBase):
    def readable(self): return True
    def readinto(self, b): return len(b)

class Broken(Endless):
    def readinto(self, b): raise ConnectionResetError(104, 'Connection reset by peer')

CLOSED = io.BytesIO(jpeg())
CLOSED.close()
STREAMS = [(Endless(), 'over 200 MB'), (Broken(), 'Connection reset'), (CLOSED, 'closed')]
@pytest.mark.parametrize('stream, word', STREAMS)
def test_stream_without_a_photo(clf, stream, word):
    with pytest.raises(PhotoError, match=word): clf(stream)

# -- Many photos

KINDS = dict(str=str, path=Path, bytes=Path.read_bytes, image=Image.open, array=lambda o: np.asarray(Image.open(o)))
@pytest.mark.parametrize('kind', KINDS)
def test_many_of_one_photo_is_that_photo(clf, tmp_path, kind):
    (tmp_path/'a.jpg').write_bytes(jpeg())
    photo = KINDS[kind](tmp_path/'a.jpg')
    [(got, p)] = clf.many(photo)
    assert got is photo and p.label == 'sunglasses'

def test_many_of_a_batch(clf):
    assert [p.label for _, p in clf.many(np.stack([GREEN, 0*GREEN+255]))] == ['sunglasses', 'none']

@pytest.mark.parametrize('workers', [0, 1, 5])
def test_many_answers_come_in_order(clf, workers):
    photos = [plain(o, (64,64)) for o in ['red','lime','blue','white']*13]
    got = list(clf.many(iter(photos), workers))
    assert [o for o, _ in got] == photos
    assert [p.label for _, p in got] == [clf(o).label for o in photos]

def test_many_does_not_run_ahead(clf):
    asked_for = []
    def photos():
        for i in range(1000):
            asked_for.append(i)
            yield plain()
    answers = clf.many(photos(), workers=2)
    for _ in range(10): next(answers)
    assert len(asked_for) <= 10+2*2+1
    answers.close()

def test_bad_photo_among_many_is_an_answer_too(clf, tmp_path):
    (tmp_path/'letter.jpg').write_text('a letter')
    a, b, c = (o for _, o in clf.many([plain(), tmp_path/'letter.jpg', b'']))
    assert a.label == 'glasses' and isinstance(c, PhotoError)
    assert isinstance(b, PhotoError) and 'letter.jpg' in str(b)

def test_nothing_to_do(clf): assert list(clf.many([])) == []

# -- A classifier travels

SENT = dict(copy=copy.copy, deepcopy=copy.deepcopy, pickle=lambda o: pickle.loads(pickle.dumps(o)))
@pytest.mark.parametrize('by', SENT)
def test_classifier_is_copied_and_pickled(new, by):
    clf = Classifier(new, threads=2)
    again = SENT[by](clf)
    assert again.session is not clf.session and (again.path, again.threads) == (clf.path, 2)
    assert again(plain()).probs == clf(plain()).probs
    assert pickle.loads(pickle.dumps(clf(plain()))).label == 'glasses'

def test_classifier_by_address_is_fetched_where_the_file_is_not(model, tmp_path):
    data = model.read_bytes()
    with host(data) as h:
        pickled = pickle.dumps(Classifier(f'{h.url}/m.onnx#sha256={sha(data)}'))
        [file] = (tmp_path/'work'/'models').iterdir()
        file.unlink()
        assert pickle.loads(pickled)(plain()).label == 'glasses' and file.exists()

# -- Whether anything like it was seen

def test_unknown_and_seen(new):
    clf = Classifier(new)
    red = clf(plain())
    grey = clf(plain((85,85,85)))
    assert (clf.threshold, red.seen, grey.seen) == (.3, True, False)
    assert str(grey).startswith('Prediction: ')
    for p in (red, grey): assert p.unknown == pytest.approx(1-p.prob, abs=1e-6)

def test_older_file_without_unknown_still_opens(clf):
    p = clf(plain())
    assert p.unknown is None and p.seen is True and clf.threshold == float('inf')

@pytest.mark.parametrize('value', ['', None])
def test_file_without_a_threshold_calls_everything_seen(tmp_path, value):
    assert Classifier(tiny_model(tmp_path/'a.onnx', unknown=True, UNKNOWN_THRESHOLD=value))(plain()).seen

@pytest.mark.parametrize('threads', [0, 1, 2])
def test_threads_do_not_change_the_answer(model, clf, threads):
    img = Image.fromarray(noise(0, 99, 99))
    assert Classifier(model, threads=threads)(img).probs == pytest.approx(clf(img).probs)

# -- The model file

def check_refused(model, *words):
    "A `Classifier` of `model` is an error of one line with these words"
    with pytest.raises(ModelError) as e: Classifier(model)
    assert isinstance(e.value, EyewearError) and '\n' not in str(e.value) and len(str(e.value)) < 400
    for o in words: assert o in str(e.value)

def test_bad_model_says_what_to_do(tmp_path, model, new):
    old = model.read_bytes()
    whole = new.read_bytes()
    files = {'empty':b'', 'text':b'no model', 'cut':old[:300], 'new cut':whole[:400], 'newer cut':whole[:-40],
        'noise':np.random.default_rng(0).bytes(5000)}
    for name, data in files.items():
        (tmp_path/f'{name}.onnx').write_bytes(data)
        check_refused(tmp_path/f'{name}.onnx', f'{name}.onnx: ', 'eyewear-run')

FOREIGN = [(dict(LABELS=None), 'metadata'), (dict(LABELS='glasses'), 'metadata'), (dict(LABELS='["a","b"]'), '2 labels'),
    (dict(LABELS='["a","a","b","c"]'), 'metadata'), (dict(LABELS='["../../victim","b","c","d"]'), "'../../victim'"),
    (dict(LABELS='["/etc","b","c","d"]'), 'no folder name may have'), (dict(LABELS='["a","",".b","c"]'), 'is empty'),
    (dict(LABELS='[1,2,3,4]'), 'not text'), (dict(LABELS='[]'), '0 labels'), (dict(LABELS='{"a":1}'), '1 labels'),
    (dict(QUESTION=None), 'metadata'), (dict(SIZE='large'), 'metadata'), (dict(UNKNOWN_THRESHOLD='far'), 'metadata'),
    (dict(UNKNOWN_THRESHOLD='nan'), 'metadata'), (dict(SIZE='128', RESIZE=None), 'photo'), (dict(SIZE='10000000'), 'metadata'),
    (dict(RESIZE='pad 224'), 'pad 224')]
@pytest.mark.parametrize('change, word', FOREIGN)
def test_foreign_model_says_so(tmp_path, change, word):
    check_refused(tiny_model(tmp_path/'foreign.onnx', **change), 'foreign.onnx: ', word)

def test_missing_model_says_so(monkeypatch):
    check_refused('no_such.onnx', 'no_such.onnx: ', 'eyewear-run')
    check_refused('x'*5000, 'there is no such model file')
    check_refused(None, 'there is no model yet', 'EYEWEAR_MODEL')
    monkeypatch.setenv('EYEWEAR_MODEL', 'gone.onnx')
    check_refused(None, 'gone.onnx: ', 'from EYEWEAR_MODEL')

def test_model_is_found_in_this_order(tmp_path, monkeypatch):
    def put(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return tiny_model(path)
    deployed = put(tmp_path/'deploy'/'eyewear.onnx')
    assert find_model() == deployed
    of_run = put(tmp_path/'work'/'runs'/'2026-01-01_00-00-00'/'eyewear.onnx')
    assert find_model() == of_run
    named = put(tmp_path/'named'/'m.onnx')
    monkeypatch.setenv('EYEWEAR_MODEL', str(named))
    assert find_model() == named
    assert find_model(of_run) == of_run

# -- A model by address

def endless(data, pause=0):
    "A page that goes on with `data`"
    def page(handler):
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(data)
            time.sleep(pause)
    return page

def redirect(address): return lambda handler: reply(handler, b'', 302, Location=address)

FAILING_HOSTS = dict(
    large=(lambda o: reply(o, b'', size=10**12), '1,000,000,000,000 bytes'),
    packed=(lambda o: reply(o, b'never unpacked', Content_Encoding='gzip, gzip'), 'packed as gzip, gzip, which'),
    endless=(endless(b'0'*2**16), 'more than 1,000,000 bytes'),
    silent=(lambda o: time.sleep(60), 'timed out'),
    slow=(endless(b'0', .05), 'not here after 1 seconds'),
    cut=(lambda o: reply(o, b'0'*500, size=9000), 'peer closed connection'),
    hung_up=(lambda o: o.connection.shutdown(socket.SHUT_RDWR), ''),
    file=(redirect('file:///etc/passwd'), 'has to come over https'),
    nonsense=(redirect('http://[1:2/'), 'has to come over https'))

@pytest.fixture
def impatient(monkeypatch):
    "Little patience, and a proxy that isn't there: this machine is asked past it"
    monkeypatch.setattr(predict, 'silence', 1)
    monkeypatch.setattr(predict, 'too_long', 1)
    monkeypatch.setattr(predict, 'max_model', 10**6)
    monkeypatch.setenv('http_proxy', 'http://127.0.0.1:9')

@pytest.mark.parametrize('name', FAILING_HOSTS)
def test_host_that_fails_is_a_sentence(impatient, tmp_path, monkeypatch, name):
    page, reason = FAILING_HOSTS[name]
    with host(page) as h:
        address = h.url.replace('//', '//me:secret@')
        monkeypatch.setenv('EYEWEAR_MODEL', f'{address}/eyewear.onnx?key=secret#sha256={sha(b"weights")}')
        with pytest.raises(ModelError) as e: find_model()
    text = str(e.value)
    assert reason in text and '; ' in text and len(text) < 250
    assert 'secret' not in text and '\n' not in text
    assert text.startswith('http://127.0.0.1:') or reason == 'has to come over https'
    assert not [o for o in tmp_path.rglob('*') if o.is_file()]

def test_nobody_there_is_a_sentence(impatient):
    with socket.create_server(('127.0.0.1', 0)) as s: port = s.getsockname()[1]
    with pytest.raises(ModelError, match='the model did not come .*refused'):
        find_model(f'http://127.0.0.1:{port}/m#sha256={"0"*64}')

BAD_ADDRESSES = [('{}', 'has no digest'), ('{}#sha256=12', 'has no digest'), ('{}#md5=1', 'has no digest'),
    ('http://example.org/m#sha256=0', 'over https'), ('ftp://example.org/m#sha256=0', 'over https'),
    ('https://#sha256=0', 'over https'), ('https://[1#sha256=0', 'is none')]
@pytest.mark.parametrize('address, reason', BAD_ADDRESSES)
def test_address_that_will_not_do_is_not_asked(address, reason):
    with host(b'weights') as h:
        with pytest.raises(ModelError, match=reason): find_model(address.format(h.url))
        assert not h.asked

def test_fetched_once_and_again_where_it_is_damaged(impatient, tmp_path, monkeypatch, model):
    data = model.read_bytes()
    with host(redirect('/there'), data) as h:
        monkeypatch.setenv('EYEWEAR_MODEL', f'{h.url}/eyewear.onnx#sha256={sha(data).upper()}')
        path = find_model()
        assert path == find_model() == tmp_path/'work'/'models'/f'{sha(data)}.onnx'
        assert path.read_bytes() == data and path.stat().st_mode & 0o444 == 0o444
        assert h.asked == ['/eyewear.onnx', '/there'] and Classifier().path == path
        path.write_bytes(data[:-1])
        assert find_model().read_bytes() == data and len(h.asked) == 3
    assert find_model() == path and list(path.parent.iterdir()) == [path]

def test_home_that_takes_no_file_is_a_sentence(tmp_path):
    (tmp_path/'work').write_text('a file where a folder should be')
    with host(b'weights') as h, pytest.raises(ModelError, match='cannot be kept .*; set EYEWEAR_HOME'):
        find_model(f'{h.url}#sha256={sha(b"weights")}')

# -- The table

def test_files_and_folders_become_a_table(tmp_path, script):
    photos = tmp_path/'photos'
    for o in ('sub','.hidden'): (photos/o).mkdir(parents=True)
    colours = {'b.png':'red', 'sub/c.jpg':'blue', '.hidden/d.png':'red'}
    for name, colour in colours.items(): plain(colour).save(photos/name)
    (photos/'a.jpg').write_text('a letter')
    (photos/'notes.txt').write_text('no photo, and not called one')
    res = script('photos', 'photos/notes.txt', 'gone.png')
    assert (res.returncode, res.stderr) == (0, 'photos: 1 file(s) left out, they do not end like photos\n')
    rows = table(res.stdout)
    assert [(Path(r['file']).as_posix(), r['label']) for r in rows] == [('photos/a.jpg',''), ('photos/b.png','glasses'),
        ('photos/sub/c.jpg','VR'), ('photos/notes.txt',''), ('gone.png','')]
    assert 'not a photo' in rows[0]['reason'] and 'no such file' in rows[-1]['reason'] and not rows[1]['reason']
    assert [float(rows[1][f'prob_{o}']) for o in SEED] == pytest.approx([1,0,0,0], abs=1e-3)
    assert rows[1]['prob'] == rows[1]['prob_glasses']

def test_table_says_how_unlike_each_photo_is(new, model, tmp_path):
    for name, colour in dict(a='red', b=(85,85,85)).items(): plain(colour).save(tmp_path/f'{name}.png')
    (tmp_path/'c.jpg').write_text('a letter')
    def rows(m):
        predict_files([tmp_path/o for o in ('a.png','b.png','c.jpg')], m, tmp_path/'out.csv')
        return table((tmp_path/'out.csv').read_text())
    a, b, c = rows(new)
    assert float(a['unknown']) < .3 < float(b['unknown'])
    assert c['unknown'] == c['prob_glasses'] == ''
    assert [o['unknown'] for o in rows(model)] == ['']*3

def test_table_goes_into_a_file(tmp_path, script):
    plain('lime').save(tmp_path/'ä, b.png')
    res = script('ä, b.png', '--out', 'out.csv')
    assert (res.returncode, res.stdout) == (0, '') and 'out.csv' in res.stderr
    [row] = table((tmp_path/'out.csv').read_text(encoding='utf-8'))
    assert (row['file'], row['label']) == ('ä, b.png', 'sunglasses')

def test_script_ends_in_one_line_and_the_table_of_yesterday_stays(tmp_path, script):
    (tmp_path/'letter.jpg').write_text('a letter')
    (tmp_path/'nothing').mkdir()
    (tmp_path/'broken.onnx').write_text('no model')
    (tmp_path/'mine.csv').write_text('file\nred.jpg\n')
    (tmp_path/'out.csv').write_text('yesterday')
    before = tree(tmp_path)
    cases = [
        (['letter.jpg', '--model', 'gone.onnx'], 'gone.onnx'), (['letter.jpg', '--model', 'broken.onnx'], 'broken.onnx'),
        (['letter.jpg', '--out', 'out.csv'], 'none of the 1 file'), (['nothing'], 'nothing: no photo'), ([], 'named'),
        (['letter.jpg', '--out', 'gone/out.csv'], 'gone/out.csv'), (['mine.csv', '--column', 'picture'], 'picture'),
        (['mine.csv', '--out', 'mine.csv'], 'one of the files you gave')]
    for args, word in cases:
        res = script(*args)
        assert res.returncode == 2 and word in res.stderr and res.stderr.count('\n') == 1, (args, res.stderr)
    assert tree(tmp_path) == before

def test_reader_may_stop_early(command, tmp_path):
    plain().save(tmp_path/'a.png')
    with subprocess.Popen([*command, *['a.png']*3000], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        assert p.stdout.readline().startswith(b'file,')
        p.stdout.close()
        assert p.stderr.read() == b''
    assert p.returncode == 0

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

TAKEN = [(['mine.csv'], 'mine.csv'), (['mine.csv'], 'photos/../mine.csv'), (['mine.csv'], 'link.csv'),
    (['photos/red.jpg'], 'photos/red.jpg'), (['photos'], 'photos/red.jpg'), (['photos'], 'photos/about.csv'),
    (['photos'], 'photo.csv'), (['mine.csv'], 'photo.csv'), (['photos/*'], 'photos/about.csv'), (['photos'], 'new.jpg')]
@pytest.mark.parametrize('paths, out', TAKEN)
def test_table_never_takes_the_place_of_what_is_looked_at(model, mine, paths, out):
    (mine/'link.csv').symlink_to('mine.csv')
    (mine/'photo.csv').symlink_to('photos/red.jpg')
    before = tree(mine)
    with pytest.raises(EyewearError) as e: predict_files(paths, model, out)
    assert out in str(e.value) and '\n' not in str(e.value)
    assert tree(mine) == before

NO_TABLE = [(['fotos'], None), (['photos','fotos'], None), (['fotos.csv'], None), (['gone.jpg'], None), (['wide.csv'], None),
    (['mine.csv'], 'picture')]
@pytest.mark.parametrize('paths, column', NO_TABLE)
def test_table_of_yesterday_stays_when_there_is_none_today(model, mine, paths, column):
    (mine/'wide.csv').write_text('file\nphotos/red.jpg\na,b,c\n')
    (mine/'answers.csv').write_text('yesterday')
    before = tree(mine)
    with pytest.raises(EyewearError) as e: predict_files(paths, model, 'answers.csv', column)
    assert '\n' not in str(e.value) and tree(mine) == before

def test_table_keeps_its_permissions_and_a_link_its_target(model, mine):
    (mine/'real.csv').write_text('yesterday')
    (mine/'real.csv').chmod(0o640)
    (mine/'link.csv').symlink_to('real.csv')
    predict_files(['photos'], model, 'link.csv')
    assert (mine/'link.csv').is_symlink() and len(table((mine/'real.csv').read_text())) == 2
    if os.name == 'posix': assert (mine/'real.csv').stat().st_mode & 0o777 == 0o640

def test_table_of_yesterday_in_the_folder_is_replaced(model, mine):
    for attempt in range(2): assert predict_files(['photos'], model, 'photos/answers.csv') == 2
    assert len(table((mine/'photos'/'answers.csv').read_text())) == 2

@posix
def test_ctrl_c_leaves_the_table_of_yesterday(command, mine):
    (mine/'answers.csv').write_text('yesterday')
    names = {o.name for o in mine.iterdir()}
    command += [*['photos']*3000, '--out', 'answers.csv']
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as p:
        while not list(mine.glob('.*.tmp')): time.sleep(.01)
        p.send_signal(signal.SIGINT)
        err = p.communicate(timeout=60)[1]
    assert p.returncode == 130 and err.strip().count('\n') == 0, err
    assert 'stopped; a file named by --out is as it was' in err
    assert (mine/'answers.csv').read_text() == 'yesterday' and {o.name for o in mine.iterdir()} == names

@pytest.mark.skipif(not Path('/dev/full').exists(), reason='no /dev/full here')
def test_full_disk_is_one_line(mine, script):
    res = script('photos', '--out', '/dev/full')
    assert res.returncode == 2 and '/dev/full: cannot be written (No space' in res.stderr
    assert res.stderr.count('\n') == 2, res.stderr # The other line: what was left out
    for paths in (['photos'], ['photos/*.jpg']*3000): # With and without more than is kept in memory
        with open('/dev/full', 'w') as f: res = script(*paths, stdout=f)
        assert res.returncode == 2 and 'standard output: cannot be written (No space' in res.stderr
        assert 'Traceback' not in res.stderr and 'ignored' not in res.stderr, res.stderr

@pytest.mark.skipif(not Path('/dev/stdout').exists(), reason='no /dev/stdout here')
def test_devices_and_pipes_are_written_to(mine, script):
    assert len(table(script('photos', '--out', '/dev/stdout').stdout)) == 2
    (mine/'all.csv').write_text('before\n')
    with open('all.csv', 'a') as f: script('photos', '--out', '/dev/stdout', stdout=f)
    assert (mine/'all.csv').read_text().startswith('before\nfile,label')

# -- Names, lists and addresses as people have them

LOCALES = dict(utf8={}, cp1252=dict(PYTHONIOENCODING='cp1252'),
    ascii=dict(LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0'))

@not_windows
def test_name_that_is_no_text_is_spelled_out(model, mine, script):
    try: (mine/'photos'/os.fsdecode(b'caf\xe9.jpg')).write_bytes(jpeg())
    except OSError: pytest.skip('every name is text here')
    want = [r'photos/caf\xe9.jpg', 'photos/lime.jpg', 'photos/red.jpg']
    for env in LOCALES.values():
        res = script('photos', **env)
        rows = table(res.stdout)
        assert res.returncode == 0 and [r['file'] for r in rows] == want and all(r['label'] for r in rows), res.stderr
    predict_files(['photos'], model, 'a.csv')
    assert [r['file'] for r in table((mine/'a.csv').read_text(encoding='utf-8'))] == want

@not_windows
@pytest.mark.parametrize('locale', ['cp1252', 'ascii'])
def test_name_that_the_terminal_cannot_show(mine, script, locale):
    env = LOCALES[locale]
    (mine/'写真').mkdir()
    (mine/'写真'/'あ.jpg').write_bytes(jpeg())
    res = script('写真', **env)
    assert res.returncode == 0 and table(res.stdout)[0]['file'] == r'\u5199\u771f/\u3042.jpg'
    res = script('写真', '--out', '写真.csv', **env)
    assert res.returncode == 0, res.stderr
    assert table((mine/'写真.csv').read_text(encoding='utf-8'))[0]['file'] == '写真/あ.jpg'
    res = script('無い', **env)
    assert res.returncode == 2 and r'\u7121\u3044: there is no such' in res.stderr and res.stderr.count('\n') == 1

def test_addresses_are_fetched_from_the_public_web_only(model, mine, script):
    with host(jpeg()) as h:
        res = script(f'{h.url}/a.jpg', 'photos/red.jpg')
        own, red = table(res.stdout)
        assert res.returncode == 0 and red['label'] == 'glasses'
        assert own['file'] == f'{h.url}/a.jpg' and 'private network' in own['reason']
        predict_files([f'{h.url}/a.jpg', 'photos/red.jpg'], model, 'out.csv', allow=[h.url.removeprefix('http://')])
    assert [r['label'] for r in table(Path('out.csv').read_text())] == ['sunglasses', 'glasses']

@pytest.mark.parametrize('paths', ['photos', Path('photos')])
def test_a_single_path_is_no_list_of_letters(model, mine, paths): assert predict_files(paths, model, 'out.csv') == 2

def test_a_file_whose_name_is_a_pattern_is_itself(mine):
    (mine/'[1].jpg').write_bytes(jpeg())
    for name in ('[1].jpg', '[2].jpg'): assert list(find_photos([name])) == [Path(name)]

COMPANIONS = [('n,text\n1,a\n', 'skipped'), ('file_name,text\nred.jpg,a\n', ''), ('file_name,text\nred.jpg,a,b\n', 'skipped'),
    ('', 'empty')]
@pytest.mark.parametrize('text, note', COMPANIONS)
def test_a_list_among_photos_does_not_stop_them(model, mine, capsys, text, note):
    (mine/'photos'/'about.csv').write_text(text)
    assert predict_files(['photos/*'], model, 'out.csv') == 2
    err = capsys.readouterr().err
    assert note in err and err.count('\n') == bool(note), err

# -- What to call

SCRIPTS = [o for o in entry_points(group='console_scripts') if o.module.startswith('eyewear.')]
@pytest.mark.parametrize('script', SCRIPTS, ids=lambda o: o.name)
def test_help_names_each_argument(script):
    arguments = [o.replace('_', '-') for o in inspect.signature(script.load()).parameters]
    res = subprocess.run([Path(sys.executable).with_name(script.name), '--help'], capture_output=True, text=True)
    assert [o for o in arguments if re.search(rf'^  (--)?{o}\b', res.stdout, re.M)] == arguments

def run_module(name):
    return subprocess.run([sys.executable, '-m', name], capture_output=True, text=True, stdin=subprocess.DEVNULL)

def test_package_lists_its_commands():
    res = run_module('eyewear')
    lines = res.stdout.splitlines()
    assert res.returncode == 0 and {'eyewear-predict', 'eyewear-run'} <= {o.split()[0] for o in lines[1:]}
    for o in lines: assert len(o.split()) > 3

ADVICE = {o: f'run `eyewear-{o}`' for o in ('predict', 'download', 'train', 'interpret', 'export')}
ADVICE['lessons'] = '`python -m eyewear` lists the commands'
@pytest.mark.parametrize('module', ADVICE)
def test_module_says_what_to_call(module):
    res = run_module(f'eyewear.{module}')
    assert res.returncode == 2 and not res.stdout
    assert res.stderr == f'eyewear: `python -m eyewear.{module}` does nothing; {ADVICE[module]}\n'