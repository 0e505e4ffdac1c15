"The pages beside the lessons: files that they name exist, pictures are small, the recipe for taking a photo out works."
import base64, json, re
from pathlib import Path
import pytest
from PIL import Image
from eyewear.data.dataset import Dataset
from badphotos import picture
from test_repo import LESSONS, PAGES, ROOT, prose, text

@pytest.mark.parametrize('page', PAGES)
def test_files_named_in_prose_exist(page):
    page = prose(ROOT/'nbs'/page)
    named = re.findall(r'`((?:nbs|benchmarks|deploy|constraints|tests)/[\w/]+\.\w+)`', page)
    named += [f'benchmarks/{o}' for o in re.findall(r'\| `(\w+\.py)` \|', page)]
    made_by_a_run = 'deploy/eyewear.onnx'
    assert not [o for o in named if o != made_by_a_run and not (ROOT/o).exists()]

@pytest.mark.parametrize('path', LESSONS, ids=lambda o: o.stem)
def test_picture_of_a_lesson_is_small(path):
    file = ROOT/'nbs'/'images'/f'lesson_{path.name[:2]}.jpg'
    assert file.stat().st_size <= 40_000
    with Image.open(file) as img: assert img.format == 'JPEG' and img.width <= 640

def png(i): return picture('PNG', (40, 40), (40*i, 90, 0))

def test_photo_can_be_taken_out_for_good(tmp_path, monkeypatch):
    "With the lines of the page on photos of people"
    ds = Dataset.create(tmp_path/'d')
    for i in range(6): ds.add(png(i), ('glasses', 'none')[i%2], source='made up', image_url=f'https://a.test/{i}')
    name = Path(ds.rows[0]['file']).name
    monkeypatch.setattr('eyewear.download.load_dataset', lambda: ds)
    recipe = re.search(r'```python\n(.+?)```', text('nbs/people.md'), re.S)[1]
    exec(recipe.replace('glasses_3f9a1c02b47d11e0.jpg', name), {})
    assert name not in [f.name for f in ds.files()]
    assert name not in ds.split()
    assert ds.find(name).parent.name == '.removed'
    for by in ('key', 'rule'): assert ds.decide(name, 'glasses', by=by) is None
    ds.find(name).unlink()
    lines = ds.manifest.read_text(encoding='utf8').splitlines(keepends=True)
    ds.manifest.write_text(''.join(o for o in lines if name not in o), encoding='utf8')
    reopened = Dataset(ds.path)
    assert len(reopened.files()) == len(reopened.rows) == 5
    assert not list(ds.path.rglob(name))
    reopened.add(png(0), 'glasses', source='found once more', image_url='https://b.test/0')
    assert name not in [f.name for f in Dataset(ds.path).files()]  # the decision still holds

def test_pictures_are_made_from_saved_outputs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT/'.ci')
    import pictures
    output = dict(data={'image/png': base64.b64encode(png(1)).decode()})
    nb = dict(cells=[dict(id='a', cell_type='code', outputs=[output]), dict(id='b', outputs=[])])
    (tmp_path/'nbs').mkdir()
    (tmp_path/'nbs'/'01_a.ipynb').write_text(json.dumps(nb))
    Image.new('RGB', (760, 1300)).save(tmp_path/'app_light.png')
    for k, v in dict(ROOT=tmp_path, IMAGES=tmp_path, CELLS={'lesson_01': ('01_a', 'a')}).items(): monkeypatch.setattr(pictures, k, v)
    assert pictures.lesson_pictures() == []
    assert Image.open(tmp_path/'lesson_01.jpg').format == 'JPEG'
    assert Image.open(tmp_path/'lesson_06.jpg').width <= 640
    monkeypatch.setattr(pictures, 'CELLS', {'lesson_01': ('01_a', 'b')})
    assert '01_a.ipynb: no picture below the cell b' in pictures.lesson_pictures()[0]
