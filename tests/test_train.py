"Training on small made-up photos: the same again, stopped and resumed, in two processes, exported, and on poor data."
import importlib.util, io, json, os, shutil, signal, subprocess, sys
from pathlib import Path
import numpy as np, pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
COLORS = dict(cups=(200, 60, 60), plates=(60, 60, 200), forks=(60, 200, 60))
TINY = dict(arch='tf_efficientnet_lite0', size=64)

def photo(label, i):
    "A noisy picture in the colour of its label, as JPEG"
    a = np.random.default_rng(i).normal(COLORS[label], 50, (30, 40, 3)).clip(0, 255).astype('uint8')
    out = io.BytesIO()
    Image.fromarray(a).resize((200, 150)).save(out, 'JPEG')
    return out.getvalue()

def dataset(path, same=False, **counts):
    "So many photos of each label"
    from eyewear.data.dataset import Dataset
    ds = Dataset.create(path/'photos')
    for k, (label, n) in enumerate(counts.items()):
        (ds.path/label).mkdir(exist_ok=True)
        for i in range(n): ds.add(photo('cups', 0) if same else photo(label, 1000*k+i), label, source='made up', image_url=f'{label}{i}')
    return ds

@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path/'home'))
    monkeypatch.delenv('EYEWEAR_RUN', raising=False)
    return tmp_path/'home'

@pytest.fixture(scope='module')
def shared(tmp_path_factory): return dataset(tmp_path_factory.mktemp('shared'), cups=16, plates=16)

def done(): return __import__('eyewear.core', fromlist=['x']).read_record()['training']

def stop_in(epoch, phase=1):
    "A callback that presses Ctrl-C in an epoch"
    from fastai.callback.core import Callback
    class Stop(Callback):
        seen = 0
        def before_fit(self): Stop.seen += 1
        def before_train(self):
            if self.epoch == epoch and Stop.seen == phase: os.kill(os.getpid(), signal.SIGINT)
    return Stop()

# -- The same again

def test_same_weights_from_the_cache_and_without_it(shared):
    from eyewear.train import train
    train(shared, how='cached', epochs=2, **TINY)
    first = done()
    train(shared, how='cached', epochs=2, **TINY)
    kept = done()
    acts = sorted((shared.path/'.cache').glob('views-*/*.npy'))
    for f in acts[::2]: f.unlink()                             # Half of them: the others must not change what is computed
    train(shared, how='cached', epochs=2, **TINY)
    some = done()
    shutil.rmtree(shared.path/'.cache')
    train(shared, how='cached', epochs=2, **TINY)
    assert len(acts) == sum(first['split'].get(o, 0) for o in ('train', 'valid'))
    assert first == kept == some == done() and len(first['weights_sha256']) == 64
    train(shared, how='cached', epochs=2, seed=7, **TINY)
    assert done()['weights_sha256'] != first['weights_sha256']

def test_record_says_what_is_needed(shared):
    from eyewear.train import train
    learn = train(shared, how='head', epochs=2, **TINY)
    t = done()
    assert (t['arch'], t['how'], t['epochs'], t['seed'], t['size'], t['finished']) == (TINY['arch'], 'head', 2, 42, 64, True)
    assert t['digest'] == shared.digest() and set(t['versions']) == {'python', 'torch', 'torchvision', 'fastai', 'timm'}
    assert t['valid_error'] == pytest.approx(float(learn.validate()[1]), abs=1e-6)
    assert t['valid_loss'] == pytest.approx(float(learn.validate()[0]), abs=1e-3)

def test_training_is_repeated_from_its_record(shared, home, monkeypatch, capsys):
    import eyewear.clean
    from eyewear.core import DatasetError, run_dir
    from eyewear.train import main, train
    monkeypatch.setattr(eyewear.clean, 'load_clean', lambda: shared)
    train(shared, how='cached', epochs=2, **TINY)
    rec = home.parent/'summary.json'
    shutil.copy(run_dir()/'summary.json', rec)
    main(from_record=str(rec))
    assert 'The same again' in capsys.readouterr().out
    old = json.loads(rec.read_text())
    old['training']['weights_sha256'] = 'f'*64
    rec.write_text(json.dumps(old))
    main(from_record=str(rec))
    assert 'Not the same: weights_sha256 ffff' in capsys.readouterr().out
    old['training']['digest'] = '0123456789abcdef'
    rec.write_text(json.dumps(old))
    with pytest.raises(DatasetError, match=f'{shared.digest()}.*0123456789abcdef'): main(from_record=str(rec))

# -- Stopped

@pytest.mark.parametrize('how,epoch,phase', [('cached', 2, 1), ('head', 1, 1), ('fine_tune', 1, 2)])
def test_ctrl_c_keeps_the_best_and_resume_ends_where_it_would_have(shared, capsys, how, epoch, phase):
    from eyewear.core import run_dir
    from eyewear.train import train
    train(shared, how=how, epochs=3, **TINY)
    whole = done()
    capsys.readouterr()
    learn = train(shared, how=how, epochs=3, cbs=stop_in(epoch, phase), **TINY)
    out = capsys.readouterr().out
    assert 'Stopped: the best epoch so far is kept' in out and not done()['finished']
    losses = [row[1] for row in learn.recorder.values[:epoch]]
    assert float(learn.validate()[0]) == pytest.approx(min(losses), abs=2e-3)
    assert (run_dir()/'last.pth').exists()
    learn = train(shared, how=how, epochs=3, resume=True, **TINY)
    assert f'Going on after epoch {epoch} of 3' in capsys.readouterr().out
    assert done()['weights_sha256'] == whole['weights_sha256'] and done()['valid_error'] == whole['valid_error']
    assert len(learn.recorder.values) == 3 and all(len(o) == 3 for o in learn.recorder.values)
    assert not (run_dir()/'last.pth').exists()

def test_checkpoint_of_another_training_is_refused(shared):
    from eyewear.core import EyewearError
    from eyewear.train import train
    train(shared, how='head', epochs=4, cbs=stop_in(1), **TINY)
    with pytest.raises(EyewearError, match='epochs 4, not 3'): train(shared, how='head', epochs=3, resume=True, **TINY)

# -- Ways and backbones

@pytest.mark.parametrize('how', ['fine_tune', 'cached', 'head'])
def test_callbacks_pass_through(shared, how):
    from fastai.callback.core import Callback
    from eyewear.train import train
    class Count(Callback):
        n = 0
        def after_epoch(self): Count.n += 1
    train(shared, how=how, epochs=2, cbs=[Count()], **TINY)
    assert Count.n == (3 if how == 'fine_tune' else 2)

@pytest.fixture
def untrained(monkeypatch):
    "timm without its weights, which lie on a server"
    import timm
    make = timm.create_model
    monkeypatch.setattr(timm, 'create_model', lambda name, pretrained=False, **kw: make(name, pretrained=False, **kw))

@pytest.mark.parametrize('arch,how', [('test_convnext', 'fine_tune'), ('test_vit', 'head'), ('test_resnet', 'head')])
def test_any_name_of_timm(shared, untrained, arch, how):
    from eyewear.train import train
    learn = train(shared, arch, 1, how)
    head = [o for o in learn.model[1].modules() if not list(o.children())]
    assert [type(o).__name__ for o in head] == ['AdaptiveAvgPool2d', 'Flatten', 'BatchNorm1d', 'Dropout', 'Linear']
    assert learn.backbone.name == arch and learn.model[0](learn.dls.one_batch()[0]).ndim == 4

def test_what_cannot_be_cut_names_the_other_ways(shared, untrained):
    from eyewear.core import EyewearError
    from eyewear.train import train
    with pytest.raises(EyewearError, match='cannot be cut; use how=fine_tune'): train(shared, 'test_resnet', how='cached')
    with pytest.raises(EyewearError, match='did you mean'): train(shared, 'resnet_18')
    with pytest.raises(EyewearError, match='how=quick'): train(shared, how='quick')

@pytest.mark.parametrize('arch', ['resnet18', 'test_resnet'])
def test_weights_that_cannot_be_fetched_are_said(shared, monkeypatch, arch):
    import timm, torch
    from eyewear.core import EyewearError
    from eyewear.train import train
    def no(*a, **kw): raise OSError('Network is unreachable')
    monkeypatch.setattr(torch.hub, 'load_state_dict_from_url', no)
    monkeypatch.setattr('torchvision.models._api.load_state_dict_from_url', no)
    make = timm.create_model
    monkeypatch.setattr(timm, 'create_model', lambda name, pretrained=False, **kw: no() if pretrained else make(name, pretrained=False, **kw))
    with pytest.raises(EyewearError, match=f'{arch}: its weights cannot be fetched'): train(shared, arch, how='fine_tune')

# -- A GPU that this torch can use

@pytest.fixture
def card(monkeypatch):
    "A machine with a GPU of some capability, and a torch that was built for some; a list of what fastai is told"
    import torch, eyewear.model.backbone as bb
    told = []
    def make(capability, built, there=True):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: there)
        monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda *a: capability)
        monkeypatch.setattr(torch.cuda, 'get_arch_list', lambda: built.split())
        bb.has_gpu.cache_clear()
        return told
    monkeypatch.setattr(bb, 'default_device', told.append)
    yield make
    bb.has_gpu.cache_clear()

NEW = 'sm_75 sm_80 sm_86 sm_90a sm_100 sm_120'

@pytest.mark.parametrize('capability,built', [((7, 5), NEW), ((8, 6), NEW), ((8, 9), NEW), ((12, 1), NEW), ((13, 0), NEW+' compute_120')])
def test_gpu_that_torch_was_built_for(card, capsys, capability, built):
    from eyewear.model.backbone import has_gpu
    assert not card(capability, built) and has_gpu() and not capsys.readouterr().out

@pytest.mark.parametrize('capability,built', [((6, 1), NEW), ((7, 0), NEW), ((5, 2), NEW+' compute_120'), ((13, 0), NEW)])
def test_gpu_that_torch_was_not_built_for(card, capsys, capability, built):
    from eyewear.model.backbone import has_gpu
    told = card(capability, built)
    assert not has_gpu() and not has_gpu() and told == [False]             # fastai goes on without it, too
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and '{}.{}'.format(*capability) in lines[0] and 'CUDA_VISIBLE_DEVICES=' in lines[0]

def test_no_gpu_is_not_worth_a_word(card, capsys):
    from eyewear.model.backbone import has_gpu
    card((6, 1), NEW, there=False)
    assert not has_gpu() and not capsys.readouterr().out

@pytest.mark.parametrize('capability,how', [((6, 1), 'cached'), ((8, 0), 'fine_tune')])
def test_auto_goes_by_the_gpu_that_can_be_used(card, capability, how):
    from eyewear.train import _choose
    card(capability, NEW)
    assert _choose(TINY['arch'], 'auto', None)[1] == how

# -- Batch norm, folded

@pytest.mark.parametrize('arch', ['tf_efficientnet_lite0', 'resnet18', 'test_resnet', 'densenet121', 'test_vit'])
def test_folded_batch_norm_says_the_same(arch):
    import timm, torch
    from eyewear.model.features import fold_batch_norm
    norms = lambda m: [o for o in m.modules() if isinstance(o, torch.nn.BatchNorm2d)]
    torch.manual_seed(0)
    body = timm.create_model(arch, num_classes=0).eval()
    for o in norms(body):
        o.running_mean.normal_(0, .1); o.running_var.uniform_(.5, 2); o.weight.data.uniform_(.5, 1.5); o.bias.data.normal_(0, .1)
    x = torch.rand(2, 3, 160, 160)
    folded, before = fold_batch_norm(body, 160), body(x)
    assert torch.allclose(folded(x), before, atol=1e-3) and torch.equal(body(x), before) # the body itself is as it was
    assert len(norms(folded)) < len(norms(body)) or not norms(body)

def test_order_that_names_do_not_show_is_left_alone():
    import torch
    from eyewear.model.features import fold_batch_norm
    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = torch.nn.Conv2d(3, 3, 3, padding=1), torch.nn.BatchNorm2d(3)
            self.norm.running_mean.fill_(2.)
        def forward(self, x): return self.conv(self.norm(x))
    body = Odd().eval()
    assert fold_batch_norm(body, 16) is body

# -- Photos

def test_valid_photos_are_what_the_app_sees(shared):
    import torch
    from eyewear.model.backbone import get_backbone
    from eyewear.photo import open_photo, resize_for_model
    from eyewear.train import get_dls
    b = get_backbone(TINY['arch'])
    dls = get_dls(shared, b, size=64)
    mean, std = (torch.tensor(o).view(3, 1, 1) for o in b.stats)
    for x, f in zip(dls.valid.one_batch()[0], dls.valid_ds.items):
        want = (torch.from_numpy(resize_for_model(open_photo(f), 64).copy()).permute(2, 0, 1)/255-mean)/std
        assert float((x.as_subclass(torch.Tensor).cpu()-want).abs().max()) < 1e-5

def test_photos_are_decoded_once(shared, monkeypatch):
    import eyewear.model.features as pc
    from eyewear.train import train
    shutil.rmtree(shared.path/'.cache', ignore_errors=True)
    opened, real = [], pc.open_photo
    monkeypatch.setattr(pc, 'open_photo', lambda f, *a: opened.append(Path(f).name) or real(f, *a))
    train(shared, how='fine_tune', epochs=2, **TINY)
    train(shared, how='cached', epochs=1, **TINY)
    assert len(opened) == len(set(opened)) == sum(done()['split'][o] for o in ('train', 'valid'))

def test_exported_learner_works_in_a_fresh_process(shared, tmp_path):
    from eyewear.train import train
    learn = train(shared, how='head', epochs=2, **TINY)
    learn.export(tmp_path/'e.pkl')
    f = learn.dls.valid_ds.items[0]
    shutil.copy(f, tmp_path/'p.jpg')
    with learn.no_bar(): want = [float(o) for o in learn.predict(f)[2]]
    code = '''
import json, sys
from PIL import Image
from fastai.vision.all import load_learner
learn = load_learner('e.pkl')
with learn.no_bar(): print(json.dumps([[float(o) for o in learn.predict(x)[2]] for x in ('p.jpg', open('p.jpg', 'rb').read(), Image.open('p.jpg'))]))'''
    res = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], cwd=tmp_path, capture_output=True, text=True, env={**os.environ, 'PYTHONPATH':str(ROOT)})
    assert res.returncode == 0, res.stderr
    for got in json.loads(res.stdout.splitlines()[-1]): assert got == pytest.approx(want, abs=1e-4)
    assert str(shared.path).encode() not in (tmp_path/'e.pkl').read_bytes()

# -- Several processes

DISTRIB = '''
import os, sys
from pathlib import Path
from eyewear.core import read_record
from eyewear.data.dataset import Dataset
from eyewear.train import train, weights_sha256
for how in ('cached', 'fine_tune'):
    learn = train(Dataset(sys.argv[1]), 'tf_efficientnet_lite0', 2, how, size=64)
    Path(sys.argv[2], how + os.environ['RANK']).write_text(weights_sha256(learn.model))
    if os.environ['RANK'] == '0': assert read_record()['training']['weights_sha256'] == weights_sha256(learn.model)
'''

def test_two_processes_end_with_equal_weights(shared, tmp_path, home):
    if not importlib.util.find_spec('accelerate'): pytest.skip('accelerate is not installed: pip install accelerate')
    from eyewear.train import train
    for how in ('cached', 'fine_tune'): train(shared, TINY['arch'], 2, how, size=64); (tmp_path/f'{how}-alone').write_text(done()['weights_sha256'])
    (tmp_path/'d.py').write_text(DISTRIB)
    env = {**os.environ, 'PYTHONPATH':f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}", 'OMP_NUM_THREADS':'1'}
    cmd = [sys.executable, '-W', 'ignore', '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2', 'd.py', str(shared.path), str(tmp_path)]
    res = subprocess.run(cmd, cwd=tmp_path, capture_output=True, text=True, env=env, timeout=300)
    assert res.returncode == 0, res.stderr[-3000:]
    for how in ('cached', 'fine_tune'):
        a, b, alone = ((tmp_path/f'{how}{o}').read_text() for o in ('0', '1', '-alone'))
        assert a == b != alone and len(a) == 64, how # Steps of twice as many photos: other weights than one process has
    assert len(list((home/'runs').iterdir())) == 1

# -- Poor data

def test_one_label_is_refused(tmp_path):
    from eyewear.core import DatasetError
    from eyewear.train import train
    with pytest.raises(DatasetError, match='1 label'): train(dataset(tmp_path, cups=9), **TINY)
    with pytest.raises(DatasetError, match='0 label'): train(dataset(tmp_path/'none'), **TINY)

@pytest.mark.parametrize('how', ['fine_tune', 'cached', 'head'])
def test_two_photos_in_all(tmp_path, capsys, how):
    from eyewear.train import error_figures, train
    ds = dataset(tmp_path, cups=1, plates=1)
    learn = train(ds, how=how, epochs=1, **TINY)
    out = capsys.readouterr().out
    assert 'cups: only 1 photo' in out and 'no valid photos' in out
    assert error_figures(learn, ds)[0]['n'] == 0 and done()['valid_error'] is None
    assert learn.predict(ds.files()[0])[0] in ('cups', 'plates')

@pytest.mark.parametrize('counts,said', [(dict(cups=20, plates=3), 'plates: only 1 photo'), (dict(cups=100, plates=1), '(cups has [0-9]+ times as many)'),
    (dict(cups=12, plates=12, forks=0), 'forks: no photo')], ids=['three', 'imbalance', 'empty'])
def test_poor_labels_are_said_and_trained(tmp_path, capsys, counts, said):
    import re
    from eyewear.train import train
    learn = train(dataset(tmp_path, **counts), how='head', epochs=1, **TINY)
    assert re.search(said, capsys.readouterr().out) and list(learn.dls.vocab) == sorted(counts)

def test_all_photos_equal(tmp_path):
    from eyewear.train import train
    ds = dataset(tmp_path, same=True, cups=6, plates=6)
    learn = train(ds, how='cached', epochs=1, **TINY)
    assert learn.predict(ds.files()[0])[0] in ('cups', 'plates')

@pytest.mark.parametrize('how', ['fine_tune', 'cached'])
def test_folder_that_vanishes_is_said(tmp_path, how):
    from fastai.callback.core import Callback
    from eyewear.core import DatasetError
    from eyewear.train import train
    ds = dataset(tmp_path, cups=8, plates=8)
    class Away(Callback):
        def before_fit(self): shutil.rmtree(ds.path)
    with pytest.raises(DatasetError, match='the folder is gone'): train(ds, how=how, epochs=1, cbs=Away(), **TINY)
    assert not ds.path.exists()

def test_script_says_it_in_one_line(tmp_path, home):
    from eyewear.data.dataset import Dataset
    src = tmp_path/'mine'
    (src/'cups').mkdir(parents=True)
    for i in range(5): (src/'cups'/f'{i}.jpg').write_bytes(photo('cups', i))
    env = {**os.environ, 'PYTHONPATH':str(ROOT), 'EYEWEAR_SOURCE':str(src), 'EYEWEAR_LIMIT':'5', 'PYTHONWARNINGS':'ignore'}
    res = subprocess.run([Path(sys.executable).with_name('eyewear-train'), '--how', 'head'], capture_output=True, text=True, env=env, cwd=tmp_path)
    assert res.returncode == 2 and res.stderr.strip().splitlines()[-1].startswith('eyewear: '), res.stderr
    assert 'Traceback' not in res.stderr
