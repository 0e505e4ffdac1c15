"The model file, fastai's pickle and the model card: the same answers, whole or not at all, and nothing that nobody measured."
import json, re, subprocess, sys
from pathlib import Path
import numpy as np
import pytest
pytest.importorskip('fastai', reason='the light environment has no fastai')
import onnx, yaml
from PIL import Image
from eyewear import export as lesson
from eyewear.model.metrics import calibrate, load_calibration, outputs, save_calibration, unlike
from eyewear.model.card import write_card
from eyewear.core import DatasetError, EyewearError, read_record, record, run_dir
from eyewear.export import export_onnx, linear_head, parity, question
from eyewear.pkl import export_pkl, load_pkl
from eyewear.predict import Classifier, ModelError
from eyewear.photo import resize_for_model
from tinylearner import tiny_dataset, tiny_learner
from tinymodel import tiny_model

SIZE = 64

@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    "60 made-up photos and a small model of them"
    ds = tiny_dataset(tmp_path_factory.mktemp('toy')/'ds')
    return ds, tiny_learner(ds, size=SIZE)

@pytest.fixture(scope='module')
def made(toy, tmp_path_factory):
    "The model file of that model, and its calibration"
    with pytest.MonkeyPatch.context() as m:
        m.setenv('EYEWEAR_RUN', str(tmp_path_factory.mktemp('made')))
        record(error_before=dict(error=.1, low=.05, high=.2, n=60))
        ds, learn = toy
        c = calibrate(learn, ds)
        c.temperature = 1.7                                        # Else tests would not see whether it is used
        save_calibration(c)
        path = export_onnx(learn, ds, size=SIZE)
        yield path, load_calibration(learn, ds)

@pytest.fixture(autouse=True)
def run(tmp_path, monkeypatch): monkeypatch.setenv('EYEWEAR_RUN', str(tmp_path/'run'))

# -- The model file

def test_same_answers_as_the_learner_from_the_files_on_disk(toy, made):
    ds, learn = toy
    path, c = made
    assert parity(learn, path, ds.files()) < 1e-4

def test_same_unknown_as_the_calibration(toy, made):
    ds, learn = toy
    path, c = made
    clf, files = Classifier(path), ds.files()[::7]
    want = unlike(outputs(learn, files)[1], c.seen)
    got = [clf(f) for f in files]
    assert [o.unknown for o in got] == pytest.approx(want, abs=1e-4)
    assert [o.seen for o in got] == [o <= clf.threshold for o in want] and clf.threshold == c.threshold

def test_heat_adds_up_to_the_logits(toy, made):
    ds, learn = toy
    path, c = made
    photos = np.stack([resize_for_model(Image.open(f).convert('RGB'), SIZE) for f in ds.files()[:5]])
    probs, heat, unknown = Classifier(path).session.run(['probs','heat','unknown'], {'photo':photos})
    logits = heat.mean((2,3))+linear_head(learn.model[1].cpu())[1].numpy()
    assert logits == pytest.approx(outputs(learn, ds.files()[:5])[0], abs=1e-4)
    e = np.exp(logits/c.temperature)
    assert probs == pytest.approx(e/e.sum(1, keepdims=True), abs=1e-5) and heat.shape == (5,3,8,8) and unknown.shape == (5,)

@pytest.mark.parametrize('n', [1, 2, 17])
def test_any_number_of_photos(made, n):
    clf = Classifier(made[0])
    photos = np.random.default_rng(0).integers(0, 256, (n,SIZE,SIZE,3), dtype=np.uint8)
    probs, = clf.session.run(['probs'], {'photo':photos})
    one, = clf.session.run(['probs'], {'photo':photos[-1:]})
    assert probs.shape == (n,3) and probs[-1] == pytest.approx(one[0], abs=1e-5)

def test_file_says_what_it_is(toy, made):
    ds, learn = toy
    path, c = made
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    meta = {o.key: o.value for o in model.metadata_props}
    assert json.loads(meta['labels']) == sorted(ds.labels) and meta['question'] == question(sorted(ds.labels)) and meta['size'] == str(SIZE)
    assert meta['resize'] == f'squeeze {SIZE+16}, centre {SIZE}' and meta['digest'] == ds.digest() and meta['eyewear_version']
    assert float(meta['temperature']) == c.temperature and float(meta['unknown_threshold']) == c.threshold
    assert json.loads(meta['record'])['error_before']['n'] == 60 and str(path.parent) not in ''.join(meta.values())
    assert [(o.domain, o.version) for o in model.opset_import] == [('', lesson.opset)]
    (photo,), outs = model.graph.input, {o.name: o for o in model.graph.output}
    assert photo.type.tensor_type.elem_type == onnx.TensorProto.UINT8 and photo.type.tensor_type.shape.dim[0].dim_param and list(outs) == ['probs','heat','unknown']

def test_saved_calibration_is_used_where_it_fits(toy, tmp_path, monkeypatch):
    ds, learn = toy
    c = calibrate(learn, ds)
    c.temperature = 7.
    save_calibration(c)
    with monkeypatch.context() as m:
        m.setattr(lesson, 'calibrate', lambda *_: pytest.fail('calibrated again'))
        assert Classifier(export_onnx(learn, ds, size=SIZE)).metadata['temperature'] == '7.0'
    other = tiny_learner(ds, epochs=1, size=SIZE)
    assert Classifier(export_onnx(other, ds, size=SIZE)).metadata['temperature'] != '7.0'
    assert load_calibration(other, ds) is not None

@pytest.mark.parametrize('head', [dict(concat_pool=True), dict(lin_ftrs=[8])])
def test_another_head_has_no_heat_map_and_says_so(toy, capsys, head):
    ds = toy[0]
    learn = tiny_learner(ds, size=SIZE, **head)
    path = export_onnx(learn, ds, size=SIZE)
    assert capsys.readouterr().out.count('no heat map') == 1
    assert [o.name for o in Classifier(path).session.get_outputs()] == ['probs','unknown']
    assert parity(learn, path, ds.files()[::5]) < 1e-4

@pytest.mark.parametrize('head', [dict(), dict(first_bn=False), dict(lin_first=True), dict(bn_final=True)])
def test_which_heads_are_linear(head):
    import torch
    from fastai.vision.all import create_head
    h = create_head(6, 3, concat_pool=False, lin_ftrs=[], **head)
    for o in h.modules():
        if isinstance(o, torch.nn.BatchNorm1d): o.running_mean.normal_(); o.running_var.uniform_(.5, 2); o.weight.data.uniform_(.5, 2); o.bias.data.normal_()
    linear, f = linear_head(h.eval()), torch.randn(4,6,5,5)
    if h[-1].__class__ is not torch.nn.Linear: assert linear is None; return
    with torch.no_grad(): assert torch.allclose(f.mean((2,3))@linear[0].T+linear[1], h(f), atol=1e-5)

def test_learner_goes_on_as_before(toy):
    ds, learn = toy
    before, device = outputs(learn, ds.files()[:4])[0], next(learn.model.parameters()).device
    export_onnx(learn, ds, size=SIZE)
    assert next(learn.model.parameters()).device == device and outputs(learn, ds.files()[:4])[0] == pytest.approx(before, abs=1e-6)

def test_no_valid_photos_still_gives_a_file(toy, monkeypatch):
    ds, learn = toy
    monkeypatch.setattr(type(ds), 'split', lambda self: {f.name: 'train' for f in self.files()})
    clf = Classifier(export_onnx(learn, ds, size=SIZE))
    assert clf.metadata['temperature'] == '1.0' and clf.threshold == float('inf') and clf(ds.files()[0]).seen

@pytest.mark.parametrize('cut', [0, 100, -100])
def test_cut_file_says_so(made, tmp_path, cut):
    (tmp_path/'cut.onnx').write_bytes(made[0].read_bytes()[:cut])
    with pytest.raises(ModelError, match='cut.onnx'): Classifier(tmp_path/'cut.onnx')

# -- No space

def full(*_): raise OSError(28, 'No space left on device')

@pytest.mark.parametrize('old', [b'', b'the file before'])
def test_no_space_leaves_the_file_before(toy, monkeypatch, old):
    ds, learn = toy
    save_calibration(calibrate(learn, ds))
    path = run_dir()/'eyewear.onnx'
    if old: path.write_bytes(old)
    monkeypatch.setattr('eyewear.core.os.fsync', full)
    with pytest.raises(EyewearError, match='eyewear.onnx: cannot be written .No space left'): export_onnx(learn, ds, size=SIZE)
    assert path.exists() == bool(old) and (not old or path.read_bytes() == old) and not list(run_dir().glob('.*'))
    assert 'model' not in read_record()

LIMITED = '''
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tinylearner import tiny_dataset, tiny_learner
from tinymodel import tiny_model
from eyewear.core import EyewearError
from eyewear.pkl import export_pkl
ds = tiny_dataset(Path(sys.argv[1])/'ds', n=5)
learn = tiny_learner(ds, epochs=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try: export_pkl(learn, Path(sys.argv[1])/'a.pkl')
except EyewearError as e: print(e)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
print(len(learn.dls.train_ds) > 0, learn.opt is not None, [o.name for o in Path(sys.argv[1]).iterdir() if o.is_file()])
'''

@pytest.mark.skipif(sys.platform == 'win32', reason='no limit on file sizes there')
def test_pickle_that_does_not_fit_leaves_nothing(tmp_path):
    from pathlib import Path
    res = subprocess.run([sys.executable, '-c', LIMITED, str(tmp_path), str(Path(__file__).parent)], capture_output=True, text=True)
    said = res.stdout.splitlines()
    assert res.returncode == 0 and 'a.pkl: cannot be written' in said[0] and said[1] == 'True True []', res.stdout+res.stderr

# -- fastai's pickle

SAVER = '''
import sys
sys.path.insert(0, sys.argv[3])
from fastai.vision.all import Callback
from tinylearner import tiny_dataset, tiny_learner
from tinymodel import tiny_model
from eyewear.data.dataset import Dataset
from eyewear.pkl import export_pkl
class FromTheNotebook(Callback): pass
learn = tiny_learner(Dataset(sys.argv[1]))
learn.add_cb(FromTheNotebook())
export_pkl(learn, sys.argv[2])
print(*[learn.predict(f)[0] for f in Dataset(sys.argv[1]).files()[::9]])
'''
LOADER = '''
import sys
from eyewear.pkl import load_pkl
learn = load_pkl(sys.argv[1])
print(*[learn.predict(f)[0] for f in sys.argv[2:]])
'''

def test_pickle_loads_in_a_fresh_process(toy, tmp_path):
    from pathlib import Path
    ds, call = toy[0], lambda *args: subprocess.run([sys.executable, '-c', *map(str, args)], capture_output=True, text=True, cwd=tmp_path)
    a = call(SAVER, ds.path, tmp_path/'a.pkl', Path(__file__).parent)
    b = call(LOADER, tmp_path/'a.pkl', *ds.files()[::9])
    assert a.returncode == b.returncode == 0, a.stderr+b.stderr
    assert a.stdout.splitlines()[-1] == b.stdout.splitlines()[-1] and len(set(b.stdout.split())) > 1

def test_learner_keeps_its_photos_and_optimizer(toy):
    ds, learn = toy
    opt, n = learn.opt, len(learn.dls.train_ds)
    path = export_pkl(learn)
    assert path.name == 'eyewear-inf.pkl' and learn.opt is opt and len(learn.dls.train_ds) == n and [o.name for o in run_dir().iterdir()] == [path.name]

# -- The card

FIGURE = dict(error=.025, low=.0085, high=.0709, n=120)
FULL = dict(labels=['glasses','none','sunglasses'], backbone='tf_efficientnet_lite0', how='cached', error_before=dict(FIGURE, error=.158), error_after=FIGURE,
    error_test=dict(before=dict(FIGURE, error=.083, left_out=3), after=dict(FIGURE, error=.017, n=119, left_out=3)),
    calibration=dict(temperature=.7123, threshold=.2512, ece_before=.0421, ece_after=.0119, n=120), per_label=dict(none=dict(precision=.981, recall=None, n=40)),
    training=dict(epochs=12, seed=42, versions=dict(torch='2.15.0'), weights_sha256='ab'*32))

def card(ds, rec=None, **kwargs):
    if rec: record(**rec)
    text = write_card(ds, **kwargs).read_text()
    head, body = text.split('---\n')[1:3] if text.count('---\n') >= 2 else pytest.fail(text)
    return yaml.safe_load(head), body

def test_card_tells_all_that_the_record_has(toy):
    from huggingface_hub import ModelCard
    head, body = card(toy[0], FULL, licence='apache-2.0')
    for o in ('15.8%','2.5%','8.3%','1.7%','0.9% to 7.1%','98.1%','0.712','0.251','0.042','0.012','CC0 1.0','made up','20 glasses',toy[0].digest(),'torch 2.15.0','`12`'):
        assert o in body, o
    assert head['license'] == 'apache-2.0' and head['pipeline_tag'] == 'image-classification' and {'tags','datasets','metrics'} <= head.keys()
    results = ModelCard(run_dir().joinpath('MODEL_CARD.md').read_text()).data.eval_results   # as the library reads it
    assert {(o.dataset_split, o.metric_value) for o in results} == {('validation',.975), ('test',.983)}

@pytest.mark.parametrize('gone', [*FULL, ('error_test','error_after'), tuple(FULL)])
def test_card_leaves_out_what_is_not_known(toy, gone):
    gone = gone if isinstance(gone, tuple) else (gone,)
    head, body = card(toy[0], {k: v for k, v in FULL.items() if k not in gone} or dict(source='x'))
    assert not any(o in body.lower() for o in ('none%','nan','more information','unknown unknown',' none to')) and 'license' not in head
    assert ('## Calibration' in body) == ('calibration' not in gone) and ('98.1%' in body) == ('per_label' not in gone)
    if len(gone) == len(FULL): assert '%' not in body.split('## Limits')[0] and 'model-index' not in head

@pytest.mark.parametrize('rec', [dict(error_test=None), dict(error_test=dict(before=None, after=None)), dict(error_before=dict(error=None, low=None, high=None, n=0)),
    dict(calibration=dict(temperature=1., threshold=None, ece_before=None, ece_after=None, n=0)), dict(calibration=None, per_label=None, training=None)])
def test_card_of_a_run_that_measured_nothing(toy, rec):
    head, body = card(toy[0], rec)
    assert '## Errors' not in body and '## Calibration' not in body and 'None' not in body and '## Data' in body and '## Limits' in body

def test_card_says_drawn_and_whose_licence_nobody_knows(tmp_path):
    ds = tiny_dataset(tmp_path/'ds', n=4)
    for r in ds.rows[:6]: r['source'] = 'practice'
    for r in ds.rows[6:]: r['source'], r['licence'] = '<b>a | stranger</b>', ''
    ds.save()
    body = card(ds)[1]
    assert '6 photos are portraits drawn by a program' in body and '6 photos came without a licence' in body and '<b>' not in body
    for r in ds.rows: r['source'] = 'practice'
    body = card(ds)[1]
    assert 'All photos are portraits drawn' in body and 'Nobody chose' not in body

def test_card_counts_decisions(tmp_path):
    ds = tiny_dataset(tmp_path/'ds', n=6)
    a, b = ds.files()[0], ds.files()[-1]
    ds.decide(a.name, None, 'person'); ds.decide(b.name, 'glasses', 'person')
    body = card(ds)[1]
    assert 'Decisions on single photos: 1 put under another label, 1 taken out.' in body

# -- A pickle that cannot be opened

def test_pickle_that_names_what_is_not_here(tmp_path):
    import zipfile
    import torch
    torch.save(EyewearError, tmp_path/'a.pkl', pickle_protocol=2)
    with zipfile.ZipFile(tmp_path/'a.pkl') as z: parts = {o: z.read(o) for o in z.namelist()}
    with zipfile.ZipFile(tmp_path/'b.pkl', 'w') as z:
        for o, data in parts.items(): z.writestr(o, data.replace(b'EyewearError', b'EyewearLater'))
    with pytest.raises(EyewearError, match='b.pkl: needs eyewear.core.EyewearLater'): load_pkl(tmp_path/'b.pkl')

@pytest.mark.parametrize('name,data', [('page', b'<html>'), ('empty', b''), ('cut', b'PK\3\4'+bytes(60))])
def test_pickle_that_is_none(tmp_path, name, data):
    (tmp_path/'a.pkl').write_bytes(data)
    with pytest.raises(EyewearError, match='a.pkl: no file of .learn.export., or a damaged one'): load_pkl(tmp_path/'a.pkl')

# -- The copy for a web host

def test_model_that_answers_goes_to_the_host_with_its_card(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tiny_model(tmp_path/'eyewear.onnx')
    (tmp_path/'MODEL_CARD.md').write_text('a card')
    monkeypatch.setattr(lesson, 'export_all', lambda: path)
    lesson.main(to='deploy')
    assert (tmp_path/'deploy'/'eyewear.onnx').read_bytes() == path.read_bytes() and (tmp_path/'deploy'/'MODEL_CARD.md').read_text() == 'a card'
    said, ignore, commit = capsys.readouterr().out.splitlines()
    assert said == str(path) and commit.endswith('git add .gitignore deploy/eyewear.onnx deploy/MODEL_CARD.md')
    line = re.search('`(.+)`', ignore)[1]
    assert line in (Path(__file__).parents[1]/'.gitignore').read_text().splitlines()

def test_model_that_does_not_answer_goes_nowhere(tmp_path):
    (tmp_path/'eyewear.onnx').write_text('weights')
    with pytest.raises(ModelError): lesson.put_model(tmp_path/'eyewear.onnx', tmp_path/'deploy')
    assert not (tmp_path/'deploy').exists()
    with pytest.raises(DatasetError, match='a file and no folder'): lesson.put_model(tiny_model(tmp_path/'eyewear.onnx'), tmp_path/'eyewear.onnx')
