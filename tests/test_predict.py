"From a photo to a label: the model file, the search for it, and `eyewear-predict`."
import csv, io, os, subprocess, sys
from pathlib import Path
import numpy as np
import pytest
from PIL import Image
from eyewear.core import EyewearError, PhotoError
from eyewear.predict import Classifier, ModelError, Prediction, find_model, fit
from eyewear.table import predict_files
from badphotos import BAD
from tinymodel import COLOURS, SEED, tiny_model

SCRIPT = 'import sys; from eyewear.run import predict\nif __name__ == "__main__": sys.exit(predict())\n'

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
    got = fit(img, size)
    assert got.dtype == np.uint8 and got.shape == (size,size,3) and (got == want).all()

@pytest.mark.parametrize('shape', [(331,517), (517,331), (40,40), (224,224), (256,256), (30,900)])
def test_fit_is_what_fastai_does_with_validation_photos(shape):
    pytest.importorskip('fastai', reason='the light environment has no fastai')
    from fastai.vision.all import PILImage, RandomResizedCrop
    img = Image.fromarray(np.random.default_rng(1).integers(0, 256, (*shape,3), dtype=np.uint8))
    want = np.asarray(RandomResizedCrop(224, min_scale=.5)(PILImage.create(np.asarray(img)), split_idx=1))
    assert (fit(img, 224) == want).all()

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
    (dict(LABELS='["a","a","b","c"]'), 'metadata'), (dict(LABELS='[]'), '0 labels'), (dict(LABELS='{"a":1}'), '1 labels'), (dict(QUESTION=None), 'metadata'),
    (dict(SIZE='large'), 'metadata'), (dict(UNKNOWN_THRESHOLD='far'), 'metadata'), (dict(UNKNOWN_THRESHOLD='nan'), 'metadata'), (dict(SIZE='128', RESIZE=None), 'photo'), (dict(SIZE='10000000'), 'metadata'), (dict(RESIZE='pad 224'), 'pad 224')])
def test_foreign_model_says_so(tmp_path, change, word): fails(tiny_model(tmp_path/'foreign.onnx', **change), 'foreign.onnx: ', word)

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
    assert (res.returncode, res.stderr) == (0, 'photos: 1 file(s) left out, their names are not those of photos\n')
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
