"A dataset follows a folder or a list that changes: by content, through the log, with a person's decisions kept."
import numpy as np
import pytest
from PIL import Image
from eyewear.core import SourceError
from eyewear.data import folders
from eyewear.data.dataset import Dataset
from eyewear.download import download
from photohost import PhotoHost

@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for o in 'SOURCE LIMIT LABELS RUN'.split(): monkeypatch.delenv(f'EYEWEAR_{o}', raising=False)
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path/'home'))

def photo(path, i):
    "A photo of its own for each number, all of one size in bytes"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(i).integers(0, 255, (12, 12, 3), dtype=np.uint8)).save(path, 'BMP')
    return path

@pytest.fixture
def mine(tmp_path):
    "Ten cups and ten plates"
    for k, label in enumerate(('cups', 'plates')):
        for j in range(10): photo(tmp_path/'mine'/label/f'{j}.bmp', 100*k+j)
    return tmp_path/'mine'

def get(source, *args, **kwargs): return download(source, *args, quiet=True, **kwargs)

def name_of(ds, address):
    "Name of the photo that came from `address`"
    return next(r['file'].split('/')[1] for r in ds.rows if r['image_url'] == address)

def cups_of(ds, n): return [name_of(ds, f'cups/{i}.bmp') for i in range(n)]
def folder_of(ds, name): return ds.find(name).parent.name

def state(path):
    "All files of a dataset but its marks: when they were written, and what is in them"
    files = [f for f in sorted(path.rglob('*')) if f.is_file() and f.name not in ('current.txt', '.download.json')]
    return {str(f): (f.stat().st_mtime_ns, f.read_bytes()) for f in files}

def move(mine, old, new): (mine/old).rename(mine/new)

def test_moved_deleted_replaced_renamed(mine, capsys):
    a, b, c, d = cups_of(get(mine), 4)
    move(mine, 'cups/0.bmp', 'plates/x.bmp')
    (mine/'cups'/'1.bmp').unlink()
    photo(mine/'cups'/'2.bmp', 777)
    move(mine, 'cups/3.bmp', 'cups/z.bmp')
    capsys.readouterr()
    ds = get(mine)
    assert capsys.readouterr().out == 'mine: 1 moved, 1 renamed, 1 replaced, 1 deleted; 19 of 19 photos are in\n'
    assert ds.counts() == dict(cups=8, plates=11)
    assert [folder_of(ds, o) for o in (a, b, c, d)] == ['plates', '.removed', '.removed', 'cups']
    assert {(e['name'], e['to'], e['by']) for e in ds.decisions()} == {(a, 'plates', 'rule'), (b, None, 'rule'), (c, None, 'rule')}
    fresh = get(mine, 151)
    def digests(ds): return sorted(ds.row(f.name)['sha256'] for f in ds.files())
    assert digests(ds) == digests(fresh) and fresh.counts() == ds.counts()

@pytest.mark.parametrize('changes', [False, True])
def test_a_second_time_there_is_nothing_left_to_do(mine, capsys, changes):
    ds = get(mine)
    if changes:
        move(mine, 'cups/0.bmp', 'plates/x.bmp')
        (mine/'cups'/'1.bmp').unlink()
        get(mine)
    capsys.readouterr()
    before = state(ds.path)
    assert state(get(mine).path) == before and not capsys.readouterr().out

def test_what_comes_back_is_in_again(mine, capsys):
    name = name_of(get(mine), 'cups/1.bmp')
    (mine/'cups'/'1.bmp').unlink()
    assert folder_of(get(mine), name) == '.removed'
    photo(mine/'cups'/'found.bmp', 1)
    capsys.readouterr()
    ds = get(mine)
    assert folder_of(ds, name) == 'cups' and not ds.decisions() and ds.counts() == dict(cups=10, plates=10)
    assert capsys.readouterr().out == 'mine: 1 renamed, 1 back; 20 of 20 photos are in\n'
    (mine/'cups'/'found.bmp').unlink()
    get(mine)
    photo(mine/'plates'/'found.bmp', 1)
    assert folder_of(get(mine), name) == 'plates'

def test_back_and_forth(mine):
    name = name_of(get(mine), 'cups/1.bmp')
    address = 'cups/1.bmp'
    for i in range(4):
        label = ('plates', 'cups')[i % 2]
        move(mine, address, f'{label}/x{i}.bmp')
        address = f'{label}/x{i}.bmp'
        assert folder_of(get(mine), name) == label

def test_two_swap_their_names(mine):
    ds = get(mine)
    a, b = name_of(ds, 'cups/1.bmp'), name_of(ds, 'plates/1.bmp')
    move(mine, 'cups/1.bmp', 'x')
    move(mine, 'plates/1.bmp', 'cups/1.bmp')
    move(mine, 'x', 'plates/1.bmp')
    ds = get(mine)
    assert (folder_of(ds, a), folder_of(ds, b)) == ('plates', 'cups') and len(ds.rows) == 20

# -- Decisions

def test_what_a_person_said_is_kept(mine):
    ds = get(mine)
    names = cups_of(ds, 3)
    for name, label in zip(names, ('plates', None, 'cups')): ds.decide(name, label, by='person')
    for i, label in enumerate(('cups', 'plates', 'plates')): move(mine, f'cups/{i}.bmp', f'{label}/moved{i}.bmp')
    ds = get(mine)
    assert [folder_of(ds, o) for o in names] == ['plates', '.removed', 'cups']
    assert [e['by'] for e in ds.decisions()] == ['person']*3

def test_what_is_deleted_is_out_whatever_a_person_said_and_back_as_they_said(mine):
    ds = get(mine)
    name = name_of(ds, 'cups/1.bmp')
    ds.decide(name, 'plates', by='person')
    (mine/'cups'/'1.bmp').unlink()
    assert folder_of(get(mine), name) == '.removed'
    photo(mine/'cups'/'1.bmp', 1)
    assert folder_of(get(mine), name) == 'plates'

def test_what_a_rule_took_out_stays_out(mine):
    ds = get(mine)
    name = name_of(ds, 'cups/1.bmp')
    ds.decide(name, None, by='rule', why='near copy of another')
    move(mine, 'cups/1.bmp', 'plates/x.bmp')
    ds = get(mine)
    assert folder_of(ds, name) == '.removed' and len(ds.decisions()) == 1
    ds.undo()
    assert folder_of(get(mine), name) == 'plates'

def test_following_can_be_undone_and_is_done_again(mine):
    name = name_of(get(mine), 'cups/1.bmp')
    (mine/'cups'/'1.bmp').unlink()
    ds = get(mine)
    ds.undo(all=True)
    assert folder_of(ds, name) == 'cups'
    assert folder_of(get(mine), name) == '.removed'

def test_cleaning_is_asked_for_again(mine):
    ds = get(mine)
    ds.mark(cleaned=True)
    assert get(mine).marks['cleaned']
    photo(mine/'cups'/'new.bmp', 50)
    assert not get(mine).marks['cleaned']

# -- Labels, copies, limits

def test_of_two_files_with_the_same_bytes_one_goes(mine):
    photo(mine/'cups'/'copy.bmp', 1)
    assert get(mine).counts() == dict(cups=10, plates=10)
    (mine/'cups'/'1.bmp').unlink()
    assert get(mine).counts() == dict(cups=10, plates=10)
    (mine/'cups'/'copy.bmp').unlink()
    assert get(mine).counts() == dict(cups=9, plates=10)

def test_the_choice_of_a_limit_is_stable(mine, capsys):
    before = {r['image_url'] for r in get(mine, 5).rows}
    assert 'cups/: 5 of 10 photos taken (LIMIT=5)' in capsys.readouterr().out
    gone = next(o for o in before if o.startswith('cups'))
    (mine/gone).unlink()
    for i in range(20): photo(mine/'cups'/f'new{i}.bmp', 200+i)
    ds = get(mine, 5)
    now = {r['image_url'] for r in ds.rows if r['reason'] == ''}
    assert ds.counts() == dict(cups=5, plates=5) and len(before & now) == 9
    assert 'mine: 1 new, 1 deleted; 10 of 10 photos are in' in capsys.readouterr().out

def test_a_renamed_photo_stays_in_the_choice(mine):
    ds = get(mine, 5)
    cups = [r['image_url'] for r in ds.rows if r['label'] == 'cups']
    for i, address in enumerate(cups): move(mine, address, f'cups/renamed{i}.bmp')
    again = get(mine, 5)
    assert again.digest() == ds.digest() and len(again.rows) == 10

def test_what_cannot_be_read_right_now_stays(mine, monkeypatch):
    ds = get(mine)
    def denied(path, *args): raise PermissionError(13, 'Permission denied')
    monkeypatch.setattr(folders, 'open', denied, raising=False)
    assert get(mine).digest() == ds.digest()

def test_an_empty_folder_takes_nothing_out(mine):
    ds = get(mine)
    for f in (mine/'cups').iterdir(): f.unlink()
    with pytest.raises(SourceError, match='no photos for the label cups'): get(mine)
    assert len(ds.files()) == 20

def test_a_label_that_is_gone_with_all_its_photos_takes_nothing_out(mine, tmp_path):
    for i in range(4): photo(mine/'bowls'/f'{i}.bmp', 300+i)
    ds = get(mine)
    move(mine, 'cups', 'mugs')
    again = get(mine)
    assert again.counts() == dict(mugs=10, plates=10, bowls=4) and len(again.rows) == 24
    marks = ds.marks
    before = state(ds.path)
    move(mine, 'mugs', tmp_path/'unplugged')
    with pytest.raises(SourceError, match='mine: the label mugs is gone.* LABELS=') as e: get(mine)
    assert '\n' not in str(e.value) and ds.marks == marks and state(ds.path) == before
    assert get(mine, labels=['plates', 'bowls']).counts() == dict(plates=10, bowls=4)
    (tmp_path/'unplugged'/'3.bmp').rename(mine/'plates'/'was a mug.bmp')
    assert get(mine).counts() == dict(bowls=4, plates=11)

def test_a_photo_that_a_hand_has_dropped_in_stays(mine):
    ds = get(mine)
    photo(ds.path/'cups'/'by hand.bmp', 500)
    (mine/'cups'/'1.bmp').unlink()
    assert get(mine).counts() == dict(cups=10, plates=10)

def test_stopped_in_the_middle(mine, monkeypatch):
    get(mine)
    for i in range(4): move(mine, f'cups/{i}.bmp', f'plates/x{i}.bmp')
    decide = Dataset.decide
    calls = []
    def stop(self, *args, **kwargs):
        calls.append(args)
        if len(calls) == 3: raise KeyboardInterrupt
        return decide(self, *args, **kwargs)
    with monkeypatch.context() as m:
        m.setattr(Dataset, 'decide', stop)
        with pytest.raises(KeyboardInterrupt): get(mine)
    ds = get(mine)
    assert ds.counts() == dict(cups=6, plates=14) and len(ds.rows) == 20 and len(ds.decisions()) == 4

@pytest.mark.parametrize('change', [False, True])
def test_a_dataset_is_opened_once(mine, monkeypatch, change):
    opened = []
    init = Dataset.__init__
    def count(self, *args, **kwargs):
        opened.append(self)
        return init(self, *args, **kwargs)
    monkeypatch.setattr(Dataset, '__init__', count)
    assert opened == [get(mine)]
    if change: move(mine, 'cups', 'mugs')
    opened.clear()
    ds = get(mine)
    assert opened == [ds] and sum(ds.counts().values()) == len(ds.files()) == 20

# -- Lists

def write(path, rows): path.write_text('label,file\n'+''.join(f'{o},{f}\n' for o, f in rows), encoding='utf-8')

@pytest.mark.parametrize('on_the_web', [False, True])
def test_a_list_is_followed_and_nothing_is_fetched_twice(mine, on_the_web):
    with PhotoHost() as host:
        def name(label, i): return host.url(f'/ok/{label}{i}.jpg') if on_the_web else f'{label}/{i}.bmp'
        rows = [(o, name(o, i)) for o in ('cups', 'plates') for i in range(4)]
        write(mine/'m.csv', rows)
        ds = get(mine/'m.csv', allow=['127.0.0.1'])
        a, b = (name_of(ds, address) for _, address in rows[:2])
        n = host.total
        write(mine/'m.csv', [('plates', rows[0][1]), *rows[2:]])
        ds = get(mine/'m.csv', allow=['127.0.0.1'])
        assert host.total == n
    assert ds.counts() == dict(cups=2, plates=5) and (folder_of(ds, a), folder_of(ds, b)) == ('plates', '.removed')
