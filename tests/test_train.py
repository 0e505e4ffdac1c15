"Lesson 03: what is trained and recorded, and what a script or an exported model does in a process of its own."
import json, os, shutil, subprocess, sys
import pytest
from tinylearner import TINY

pytestmark = pytest.mark.usefixtures('own_home')

def test_record_says_what_is_needed(tiny_ds, trained):
    learn, facts = trained('head').learn, trained('head').facts
    settings = dict(arch=TINY['arch'], how='head', epochs=2, seed=42, size=64, finished=True, resumed=False)
    assert settings.items() <= facts.items()
    assert facts['digest'] == tiny_ds.digest()
    assert set(facts['versions']) == {'python', 'torch', 'torchvision', 'fastai', 'timm'}
    loss, error = learn.validate()
    assert facts['valid_error'] == pytest.approx(float(error), abs=1e-6)
    assert facts['valid_loss'] == pytest.approx(float(loss), abs=1e-3)

def test_model_to_take_home_learns_from_every_photo(tiny_ds, monkeypatch):
    pytest.importorskip('onnx')
    from eyewear.core import read_record
    from eyewear.export import train_on_all
    from eyewear.model import training
    from eyewear.train import train
    wrong = next(f for f in tiny_ds.files() if tiny_ds.split()[f.name] == 'test').name
    monkeypatch.setattr(training, 'right_labels', lambda ds: {wrong: 'another'})
    learn = train(tiny_ds, how='head', epochs=2, **TINY)
    before = read_record()['training']
    final = train_on_all(tiny_ds, learn)
    names = {f.name for f in final.dls.train_ds.items}
    assert names == {f.name for f in tiny_ds.files()}-{wrong} and not len(final.dls.valid_ds)
    assert read_record()['training'] == before and read_record()['final']['epochs'] == 2

FRESH = '''
import json, sys
from PIL import Image
from fastai.vision.all import load_learner
learn = load_learner('exported.pkl')
photos = 'photo.jpg', open('photo.jpg', 'rb').read(), Image.open('photo.jpg')
with learn.no_bar(): print(json.dumps([[float(p) for p in learn.predict(o)[2]] for o in photos]))
sys.argv = ['eyewear-train', '--how', 'head']
from eyewear.cli import train
train()
'''

@pytest.fixture
def fresh_process(tiny_ds, trained, tmp_path):
    "A process that asks an exported model about a photo, and then is `eyewear-train` on a folder with one label"
    learn = trained('head').learn
    photo = learn.dls.valid_ds.items[0]
    learn.export(tmp_path/'exported.pkl')
    shutil.copy(photo, tmp_path/'photo.jpg')
    one_label = tmp_path/'mine'/'cups'
    one_label.mkdir(parents=True)
    for i, f in enumerate(tiny_ds.files()[:5]): shutil.copy(f, one_label/f'{i}.jpg')
    (tmp_path/'fresh.py').write_text(FRESH)
    env = {**os.environ, 'EYEWEAR_SOURCE':str(one_label.parent), 'EYEWEAR_LIMIT':'5'}
    return subprocess.run([sys.executable, '-W', 'ignore', 'fresh.py'], cwd=tmp_path, capture_output=True, text=True, env=env)

def test_an_exported_learner_and_the_script_in_a_fresh_process(fresh_process, tiny_ds, trained, tmp_path):
    learn = trained('head').learn
    with learn.no_bar(): probs = [float(o) for o in learn.predict(learn.dls.valid_ds.items[0])[2]]
    assert fresh_process.stdout, fresh_process.stderr
    answers = json.loads(fresh_process.stdout.splitlines()[0])
    assert answers == [pytest.approx(probs, abs=1e-4)]*3
    assert str(tiny_ds.path).encode() not in (tmp_path/'exported.pkl').read_bytes()
    assert fresh_process.returncode == 2
    assert fresh_process.stderr.strip().splitlines()[-1].startswith('eyewear: ')
    assert 'Traceback' not in fresh_process.stderr
