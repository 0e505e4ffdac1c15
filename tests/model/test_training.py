"A training is repeated, stopped, killed and resumed, runs in two processes, and is refused where there is too little to learn from."
import importlib.util, json, os, re, shutil, signal, subprocess, sys
import pytest
from fastai.callback.core import Callback
from eyewear import cli
from eyewear.core import DatasetError, EyewearError, read_record, run_dir
from eyewear.model.metrics import error_figures
from eyewear.train import train
from tinylearner import TINY, tiny_dataset

pytestmark = pytest.mark.usefixtures('own_home')

def facts(): return read_record()['training']

class InEpoch(Callback):
    "Do something when an epoch of a phase begins"
    def __init__(self, action, epoch, phase=1):
        self.action = action
        self.begin = phase, epoch
        self.phase = 0

    def before_fit(self): self.phase += 1
    def before_train(self):
        if (self.phase, self.epoch) == self.begin: self.action()

def press_ctrl_c(): os.kill(os.getpid(), signal.SIGINT)

# -- Again

@pytest.fixture
def record_of_a_run(trained, tiny_ds, tmp_path, monkeypatch):
    "The record of a training on `tiny_ds`, which the lesson's script finds as its dataset"
    import eyewear.clean
    monkeypatch.setattr(eyewear.clean, 'load_clean', lambda: tiny_ds)
    return shutil.copy(trained('cached').record, tmp_path/'summary.json')

def change(path, **changes):
    "Change what the record at `path` says of the training"
    old = json.loads(path.read_text())
    old['training'].update(changes)
    path.write_text(json.dumps(old))

def test_a_training_is_repeated_from_its_record(record_of_a_run, trained, capsys):
    cli.train(from_record=str(record_of_a_run))
    assert 'The same again' in capsys.readouterr().out
    assert facts()['weights_sha256'] == trained('cached').facts['weights_sha256']
    change(record_of_a_run, weights_sha256='f'*64)
    cli.train(from_record=str(record_of_a_run))
    assert 'Not the same: weights_sha256 ffff' in capsys.readouterr().out

@pytest.mark.parametrize('changes,message', [
    (dict(split_digest='0123456789abcdef'), 'split [0-9a-f]{16}, then 0123456789abcdef'),
    (dict(finished=False), 'stopped by hand')])
def test_what_cannot_be_repeated_is_refused(record_of_a_run, changes, message):
    change(record_of_a_run, **changes)
    with pytest.raises(EyewearError, match=message): cli.train(from_record=str(record_of_a_run))

def test_another_seed_gives_other_weights(tiny_ds, trained):
    train(tiny_ds, how='head', epochs=2, seed=7, **TINY)
    assert facts()['weights_sha256'] != trained('head').facts['weights_sha256']

# -- Stopped

@pytest.mark.filterwarnings('error:Could not load the optimizer state')
@pytest.mark.parametrize('how,epoch,phase', [('cached', 2, 1), ('head', 1, 1), ('fine_tune', 1, 2)])
def test_ctrl_c_keeps_the_best_epoch_and_resume_goes_on(tiny_ds, capsys, how, epoch, phase):
    learn = train(tiny_ds, how=how, epochs=3, cbs=InEpoch(press_ctrl_c, epoch, phase), **TINY)
    assert 'Stopped: the best epoch so far is kept' in capsys.readouterr().out
    assert not facts()['finished']
    losses = [row[1] for row in learn.recorder.values]
    assert len(losses) == epoch
    assert float(learn.validate()[0]) == pytest.approx(min(losses), abs=2e-3)
    learn = train(tiny_ds, how=how, epochs=3, resume=True, **TINY)
    assert f'Going on after epoch {epoch} of 3' in capsys.readouterr().out
    assert facts()['finished'] and facts()['resumed']
    assert [row[1] for row in learn.recorder.values[:epoch]] == losses
    assert [len(row) for row in learn.recorder.values] == [3]*3
    assert facts()['valid_loss'] == pytest.approx(float(learn.validate()[0]), abs=2e-3)
    assert not (run_dir()/'checkpoints').exists()

class Killed(BaseException): "As `kill -9`: nothing of ours may catch it"

def test_a_killed_training_goes_on_from_its_last_whole_epoch(tiny_ds, capsys):
    def die(): raise Killed
    with pytest.raises(Killed): train(tiny_ds, how='cached', epochs=3, cbs=InEpoch(die, 2), **TINY)
    (run_dir()/'checkpoints'/'1_2.pth').write_bytes(b'cut off')  # Killed while it wrote the next one
    learn = train(tiny_ds, how='cached', epochs=3, resume=True, **TINY)
    assert 'Going on after epoch 2 of 3' in capsys.readouterr().out
    assert facts()['finished'] and len(learn.recorder.values) == 3

def test_a_checkpoint_of_another_training_or_a_damaged_one_is_refused(tiny_ds):
    train(tiny_ds, how='head', epochs=4, cbs=InEpoch(press_ctrl_c, 1), **TINY)
    with pytest.raises(EyewearError, match='epochs 4, not 3'): train(tiny_ds, how='head', epochs=3, resume=True, **TINY)
    for name in ('1_0.pth', 'training.json'):
        (run_dir()/'checkpoints'/name).write_bytes(b'none')
        with pytest.raises(EyewearError, match=f'{name}: a damaged checkpoint'):
            train(tiny_ds, how='head', epochs=4, resume=True, **TINY)

def test_a_full_disk_costs_the_checkpoints_only(tiny_ds, monkeypatch, capsys):
    import eyewear.model.training
    def no_space(*args): raise RuntimeError('unexpected pos 64 vs 0')
    monkeypatch.setattr(eyewear.model.training, 'save_model', no_space)
    train(tiny_ds, how='head', epochs=2, **TINY)
    assert capsys.readouterr().out.count('no checkpoint (unexpected pos') == 2
    assert facts()['finished']

# -- Several processes

DISTRIBUTED = '''
import os, sys
from pathlib import Path
from eyewear.core import read_record
from eyewear.data.dataset import Dataset
from eyewear.model.training import weights_sha256
from eyewear.train import train
for how in ('cached', 'fine_tune'):
    learn = train(Dataset(sys.argv[1]), 'tf_efficientnet_lite0', 2, how, size=64)
    Path(sys.argv[2], how + os.environ['RANK']).write_text(weights_sha256(learn.model))
    if os.environ['RANK'] == '0': assert read_record()['training']['weights_sha256'] == weights_sha256(learn.model)
'''

def test_two_processes_end_with_equal_weights(tiny_ds, trained, tmp_path, own_home):
    if not importlib.util.find_spec('accelerate'): pytest.skip('accelerate is not installed: pip install accelerate')
    (tmp_path/'d.py').write_text(DISTRIBUTED)
    torchrun = [sys.executable, '-W', 'ignore', '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2']
    res = subprocess.run([*torchrun, 'd.py', str(tiny_ds.path), str(tmp_path)], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, 'OMP_NUM_THREADS':'1'}, timeout=300)
    assert res.returncode == 0, res.stderr[-3000:]
    for how in ('cached', 'fine_tune'):
        first, second = ((tmp_path/f'{how}{rank}').read_text() for rank in '01')
        assert first == second != trained(how).facts['weights_sha256'], how # Steps of twice as many photos
    assert len(list((own_home/'runs').iterdir())) == 1

# -- Poor data

def test_one_label_is_refused(tmp_path):
    with pytest.raises(DatasetError, match='1 label'): train(tiny_dataset(tmp_path/'one', counts=dict(none=9)), **TINY)
    with pytest.raises(DatasetError, match='0 label'): train(tiny_dataset(tmp_path/'none', counts=dict(none=0)), **TINY)

@pytest.mark.parametrize('how', ['fine_tune', 'cached', 'head'])
def test_two_photos_in_all(tmp_path, capsys, how):
    ds = tiny_dataset(tmp_path/'photos', counts=dict(glasses=1, none=1))
    learn = train(ds, how=how, epochs=1, **TINY)
    out = capsys.readouterr().out
    assert 'glasses: only 1 photo' in out and 'no valid photos' in out
    assert error_figures(learn, ds)[0]['n'] == 0 and facts()['valid_error'] is None
    assert learn.predict(ds.files()[0])[0] in ds.labels

def test_the_same_photo_under_both_labels(tmp_path):
    ds = tiny_dataset(tmp_path/'photos', counts=dict(glasses=1, none=0))
    ds.add(ds.files()[0].read_bytes(), 'none', source='made up')
    learn = train(ds, how='cached', epochs=1, **TINY)
    assert learn.predict(ds.files()[0])[0] in ds.labels

@pytest.mark.parametrize('counts,warning', [
    (dict(glasses=20, none=3), 'none: only 1 photo'),
    (dict(glasses=100, none=1), '(glasses has [0-9]+ times as many)'),
    (dict(glasses=12, none=12, sunglasses=0), 'sunglasses: no photo')], ids=['three', 'imbalance', 'empty'])
def test_poor_labels_are_reported_and_trained(tmp_path, capsys, counts, warning):
    learn = train(tiny_dataset(tmp_path/'photos', counts=counts), how='head', epochs=1, **TINY)
    assert re.search(warning, capsys.readouterr().out)
    assert list(learn.dls.vocab) == sorted(counts)

@pytest.mark.parametrize('how', ['fine_tune', 'cached'])
def test_a_folder_that_vanishes_is_reported(tmp_path, how):
    ds = tiny_dataset(tmp_path/'photos', counts=dict(glasses=8, none=8))
    class Vanish(Callback):
        def before_fit(self): shutil.rmtree(ds.path)
    with pytest.raises(DatasetError, match='the folder is gone'): train(ds, how=how, epochs=1, cbs=Vanish(), **TINY)
    assert not ds.path.exists()
