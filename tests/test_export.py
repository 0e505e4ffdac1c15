"The model file and fastai's pickle: the same answers, and a file that is whole or not there."
import json, re, subprocess, sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
import pytest
pytest.importorskip('fastai', reason='the light environment has no fastai')
import onnx
from fastai.vision.all import Callback
from PIL import Image
from eyewear import cli, export as lesson
from eyewear.core import DatasetError, EyewearError, read_record, record, run_dir
from eyewear.cli import put_model
from eyewear.export import export_onnx
from eyewear.model import metrics
from eyewear.model.explain import linear_head
from eyewear.model.metrics import calibrate, load_calibration, outputs, save_calibration, unlike
from eyewear.model.onnx import export_pkl, opset, parity, question
from eyewear.photo import resize_for_model
from eyewear.predict import Classifier, ModelError
from tinylearner import tiny_dataset, tiny_learner
from tinymodel import tiny_model

SIZE = 64

@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    "60 made-up photos and a small model of them"
    ds = tiny_dataset(tmp_path_factory.mktemp('toy')/'ds')
    return ds, tiny_learner(ds, size=SIZE)

@pytest.fixture(scope='module')
def exported(toy, tmp_path_factory):
    "The model file of that model, its calibration, and what the `Learner` said before"
    ds, learn = toy
    with pytest.MonkeyPatch.context() as m:
        m.setenv('EYEWEAR_RUN', str(tmp_path_factory.mktemp('exported')))
        record(error_before=dict(error=.1, low=.05, high=.2, n=60))
        before = outputs(learn, ds.files()[:4])[0]
        device = next(learn.model.parameters()).device
        c = calibrate(learn, ds)
        c.temperature = 1.7                                        # Else tests would not see whether it is used
        save_calibration(c)
        path = export_onnx(learn, ds, size=SIZE)
        return SimpleNamespace(path=path, calibration=load_calibration(learn, ds), before=before, device=device)

@pytest.fixture(autouse=True)
def run(tmp_path, monkeypatch): monkeypatch.setenv('EYEWEAR_RUN', str(tmp_path/'run'))

@pytest.fixture
def one_program(exported, monkeypatch):
    "`export_onnx` takes the program that was exported once, for tests of all that is around it"
    program = SimpleNamespace(model_proto=onnx.load(exported.path))
    monkeypatch.setattr(lesson, 'onnx_program', lambda whole, size: program)

# -- The model file

def test_same_answers_as_the_learner_from_the_files_on_disk(toy, exported):
    assert parity(toy[1], exported.path, toy[0].files()) < 1e-4

def test_same_unknown_as_the_calibration(toy, exported):
    ds, learn = toy
    clf = Classifier(exported.path)
    files = ds.files()[::7]
    want = unlike(outputs(learn, files)[1], exported.calibration.seen)
    answers = [clf(f) for f in files]
    assert [o.unknown for o in answers] == pytest.approx(want, abs=1e-4)
    assert [o.seen for o in answers] == [o <= clf.threshold for o in want]
    assert clf.threshold == exported.calibration.threshold

def test_heat_adds_up_to_the_logits(toy, exported):
    ds, learn = toy
    files = ds.files()[:5]
    photos = np.stack([resize_for_model(Image.open(f).convert('RGB'), SIZE) for f in files])
    probs, heat, unknown = Classifier(exported.path).session.run(['probs','heat','unknown'], {'photo':photos})
    logits = heat.mean((2,3))+linear_head(learn.model[1].cpu())[1].numpy()
    assert logits == pytest.approx(outputs(learn, files)[0], abs=1e-4)
    e = np.exp(logits/exported.calibration.temperature)
    assert probs == pytest.approx(e/e.sum(1, keepdims=True), abs=1e-5)
    assert (heat.shape, unknown.shape) == ((5,3,8,8), (5,))

@pytest.mark.parametrize('n', [1, 2, 17])
def test_any_number_of_photos(exported, n):
    clf = Classifier(exported.path)
    photos = np.random.default_rng(0).integers(0, 256, (n,SIZE,SIZE,3), dtype=np.uint8)
    [probs] = clf.session.run(['probs'], {'photo':photos})
    [last] = clf.session.run(['probs'], {'photo':photos[-1:]})
    assert probs.shape == (n,3)
    assert probs[-1] == pytest.approx(last[0], abs=1e-5)

def test_metadata(toy, exported):
    ds = toy[0]
    model = onnx.load(exported.path)
    meta = {o.key: o.value for o in model.metadata_props}
    assert json.loads(meta['labels']) == sorted(ds.labels)
    want = dict(question=question(sorted(ds.labels)), size=str(SIZE), resize=f'squeeze {SIZE+16}, centre {SIZE}',
        digest=ds.digest())
    assert meta.items() >= want.items() and meta['eyewear_version']
    c = exported.calibration
    assert (float(meta['temperature']), float(meta['unknown_threshold'])) == (c.temperature, c.threshold)
    assert json.loads(meta['record'])['error_before']['n'] == 60
    assert str(exported.path.parent) not in ''.join(meta.values())

def test_inputs_and_outputs(exported):
    model = onnx.load(exported.path)
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [('', opset)]
    [photo] = [o.type.tensor_type for o in model.graph.input]
    assert photo.elem_type == onnx.TensorProto.UINT8 and photo.shape.dim[0].dim_param
    assert [o.name for o in model.graph.output] == ['probs','heat','unknown']

def test_saved_calibration_is_used_where_it_fits(toy, one_program, monkeypatch):
    ds, learn = toy
    c = calibrate(learn, ds)
    c.temperature = 7.
    save_calibration(c)
    with monkeypatch.context() as m:
        m.setattr(metrics, 'calibrate', lambda *_: pytest.fail('calibrated again'))
        assert Classifier(export_onnx(learn, ds, size=SIZE)).metadata['temperature'] == '7.0'
    other = tiny_learner(ds, epochs=1, size=SIZE)
    assert Classifier(export_onnx(other, ds, size=SIZE)).metadata['temperature'] != '7.0'
    assert load_calibration(other, ds) is not None

def test_another_head_has_no_heat_map_and_says_so(toy, capsys):
    ds = toy[0]
    learn = tiny_learner(ds, size=SIZE, concat_pool=True, lin_ftrs=[8])
    path = export_onnx(learn, ds, size=SIZE)
    assert capsys.readouterr().out.count('no heat map') == 1
    assert [o.name for o in Classifier(path).session.get_outputs()] == ['probs','unknown']
    assert parity(learn, path, ds.files()[::5]) < 1e-4

def test_learner_goes_on_as_before(toy, exported):
    ds, learn = toy
    assert next(learn.model.parameters()).device == exported.device
    assert outputs(learn, ds.files()[:4])[0] == pytest.approx(exported.before, abs=1e-6)

def test_no_valid_photos_still_gives_a_file(toy, one_program, monkeypatch):
    ds, learn = toy
    monkeypatch.setattr(type(ds), 'split', lambda self: {f.name: 'train' for f in self.files()})
    clf = Classifier(export_onnx(learn, ds, size=SIZE))
    assert (clf.metadata['temperature'], clf.threshold) == ('1.0', float('inf'))
    assert clf(ds.files()[0]).seen

@pytest.mark.parametrize('old', [b'', b'the file before'])
def test_no_space_leaves_the_file_before(toy, one_program, monkeypatch, old):
    ds, learn = toy
    save_calibration(calibrate(learn, ds))
    path = run_dir()/'eyewear.onnx'
    if old: path.write_bytes(old)
    def full(fd): raise OSError(28, 'No space left on device')
    monkeypatch.setattr('eyewear.core.os.fsync', full)
    with pytest.raises(EyewearError, match='eyewear.onnx: cannot be written .No space left'): export_onnx(learn, ds, size=SIZE)
    assert path.exists() == bool(old)
    if old: assert path.read_bytes() == old
    assert not list(run_dir().glob('.*')) and 'model' not in read_record()

# -- fastai's pickle

@pytest.fixture
def unchanged(toy):
    "A `Learner` that has to keep its photos and its optimizer"
    learn = toy[1]
    before = learn.opt, len(learn.dls.train_ds)
    yield learn
    assert (learn.opt, len(learn.dls.train_ds)) == before and before[1] > 0

@pytest.mark.skipif(sys.platform == 'win32', reason='no limit on file sizes there')
def test_pickle_that_does_not_fit_leaves_nothing(unchanged, tmp_path):
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(EyewearError, match='a.pkl: cannot be written'): export_pkl(unchanged, tmp_path/'a.pkl')
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.glob('*.*'))

LOADER = '''import sys
from fastai.learner import load_learner
learn = load_learner(sys.argv[1])
print(*[learn.predict(f)[0] for f in sys.argv[2:]])'''

def test_pickle_loads_in_a_fresh_process(toy, unchanged, tmp_path):
    "Classes of the notebook that made it come along"
    files = toy[0].files()[::9]
    callback = type('FromTheNotebook', (Callback,), dict(__module__='__main__'))()
    unchanged.add_cb(callback)
    try: path = export_pkl(unchanged)
    finally: unchanged.remove_cb(callback)
    assert list(run_dir().iterdir()) == [path] == [run_dir()/'eyewear-inf.pkl']
    with unchanged.no_bar(): want = [unchanged.predict(f)[0] for f in files]
    res = subprocess.run([sys.executable, '-c', LOADER, path, *files], capture_output=True, text=True, cwd=tmp_path)
    assert res.returncode == 0, res.stderr
    assert res.stdout.split()[-len(files):] == want and len(set(want)) > 1

# -- The copy for a web host

def test_model_that_answers_goes_to_the_host_with_its_card(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tiny_model(tmp_path/'eyewear.onnx')
    (tmp_path/'MODEL_CARD.md').write_text('a card')
    monkeypatch.setattr(lesson, 'export_all', lambda: path)
    cli.export(to='deploy')
    assert (tmp_path/'deploy'/'eyewear.onnx').read_bytes() == path.read_bytes()
    assert (tmp_path/'deploy'/'MODEL_CARD.md').read_text() == 'a card'
    written, ignore, commit = capsys.readouterr().out.splitlines()
    assert written == str(path)
    assert commit.endswith('git add .gitignore deploy/eyewear.onnx deploy/MODEL_CARD.md')
    line = re.search('`(.+)`', ignore)[1]
    assert line in (Path(__file__).parents[1]/'.gitignore').read_text().splitlines()

def test_model_that_does_not_answer_goes_nowhere(tmp_path):
    (tmp_path/'eyewear.onnx').write_text('weights')
    with pytest.raises(ModelError): put_model(tmp_path/'eyewear.onnx', tmp_path/'deploy')
    assert not (tmp_path/'deploy').exists()
    model = tiny_model(tmp_path/'eyewear.onnx')
    with pytest.raises(DatasetError, match='a file and no folder'): put_model(model, model)
