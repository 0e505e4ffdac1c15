"A dataset follows a folder or a list that changes: by content, through the log, with a person's decisions kept."
import io, os
import numpy as np
import pytest
from PIL import Image
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
    for k, o in enumerate(('cups', 'plates')):
        for j in range(10): photo(tmp_path/'mine'/o/f'{j}.bmp', 100*k+j)
    return tmp_path/'mine'

def get(source, *args, **kwargs): return download(source, *args, quiet=True, **kwargs)
def of(ds, address): return next(r['file'].split('/')[1] for r in ds.rows if r['image_url'] == address)
def at(ds, name): return ds.find(name).parent.name
def state(path): return {str(f): (f.stat().st_mtime_ns, f.read_bytes()) for f in sorted(path.rglob('*')) if f.is_file() and f.name not in ('current.txt', '.download.json')}

def test_moved_deleted_replaced_renamed(mine, capsys):
    ds = get(mine)
    a, b, c, d = (of(ds, f'cups/{i}.bmp') for i in range(4))
    (mine/'cups'/'0.bmp').rename(mine/'plates'/'x.bmp')
    (mine/'cups'/'1.bmp').unlink()
    photo(mine/'cups'/'2.bmp', 777)
    (mine/'cups'/'3.bmp').rename(mine/'cups'/'z.bmp')
    capsys.readouterr()
    ds = get(mine)
    assert capsys.readouterr().out == 'mine: 1 moved, 1 renamed, 1 replaced, 1 deleted; 19 of 19 photos are in\n'
    assert ds.counts() == dict(cups=8, plates=11) and [at(ds, o) for o in (a, b, c, d)] == ['plates', '.removed', '.removed', 'cups']
    assert {(e['name'], e['to'], e['by']) for e in ds.decisions()} == {(a, 'plates', 'rule'), (b, None, 'rule'), (c, None, 'rule')}
    fresh = get(mine, 151)
    assert sorted(ds.row(f.name)['sha256'] for f in ds.files()) == sorted(fresh.row(f.name)['sha256'] for f in fresh.files()) and fresh.counts() == ds.counts()

def test_nothing_changes_where_nothing_changed(mine, home, capsys):
    ds = get(mine)
    capsys.readouterr()
    before = state(ds.path)
    get(mine)
    assert state(ds.path) == before and not capsys.readouterr().out

def test_a_second_time_there_is_nothing_left_to_do(mine, capsys):
    get(mine)
    (mine/'cups'/'0.bmp').rename(mine/'plates'/'x.bmp')
    (mine/'cups'/'1.bmp').unlink()
    ds = get(mine)
    capsys.readouterr()
    before = state(ds.path)
    assert state(get(mine).path) == before and not capsys.readouterr().out

def test_what_comes_back_is_in_again(mine, capsys):
    ds = get(mine)
    name = of(ds, 'cups/1.bmp')
    (mine/'cups'/'1.bmp').unlink()
    assert at(get(mine), name) == '.removed'
    photo(mine/'cups'/'found.bmp', 1)
    capsys.readouterr()
    ds = get(mine)
    assert at(ds, name) == 'cups' and not ds.decisions() and ds.counts() == dict(cups=10, plates=10)
    assert capsys.readouterr().out == 'mine: 1 renamed, 1 back; 20 of 20 photos are in\n'
    (mine/'cups'/'found.bmp').unlink()
    get(mine)
    photo(mine/'plates'/'found.bmp', 1)
    assert at(get(mine), name) == 'plates'

def test_back_and_forth(mine):
    name = of(get(mine), 'cups/1.bmp')
    for i, (here, there) in enumerate([('cups', 'plates'), ('plates', 'cups')]*2):
        (mine/here/(f'x{i-1}.bmp' if i else '1.bmp')).rename(mine/there/f'x{i}.bmp')
        assert at(get(mine), name) == there

def test_two_swap_their_names(mine):
    ds = get(mine)
    a, b = of(ds, 'cups/1.bmp'), of(ds, 'plates/1.bmp')
    (mine/'cups'/'1.bmp').rename(mine/'x')
    (mine/'plates'/'1.bmp').rename(mine/'cups'/'1.bmp')
    (mine/'x').rename(mine/'plates'/'1.bmp')
    ds = get(mine)
    assert (at(ds, a), at(ds, b)) == ('plates', 'cups') and len(ds.rows) == 20

# -- Decisions

def test_what_a_person_said_is_kept(mine):
    ds = get(mine)
    a, b, c = (of(ds, f'cups/{i}.bmp') for i in range(3))
    ds.decide(a, 'plates', by='person')
    ds.decide(b, None, by='person')
    ds.decide(c, 'cups', by='person')
    for i in range(3): (mine/'cups'/f'{i}.bmp').rename(mine/('plates' if i else 'cups')/f'moved{i}.bmp')
    ds = get(mine)
    assert [at(ds, o) for o in (a, b, c)] == ['plates', '.removed', 'cups']
    assert [e['by'] for e in ds.decisions()] == ['person']*3

def test_what_is_deleted_is_out_whatever_a_person_said_and_back_as_they_said(mine):
    ds = get(mine)
    name = of(ds, 'cups/1.bmp')
    ds.decide(name, 'plates', by='person')
    (mine/'cups'/'1.bmp').unlink()
    assert at(get(mine), name) == '.removed'
    photo(mine/'cups'/'1.bmp', 1)
    assert at(get(mine), name) == 'plates'

def test_what_a_rule_took_out_stays_out(mine):
    ds = get(mine)
    name = of(ds, 'cups/1.bmp')
    ds.decide(name, None, by='rule', why='near copy of another')
    (mine/'cups'/'1.bmp').rename(mine/'plates'/'x.bmp')
    ds = get(mine)
    assert at(ds, name) == '.removed' and len(ds.decisions()) == 1
    ds.undo()
    assert at(get(mine), name) == 'plates'

def test_following_can_be_undone_and_is_done_again(mine):
    name = of(get(mine), 'cups/1.bmp')
    (mine/'cups'/'1.bmp').unlink()
    ds = get(mine)
    ds.undo(all=True)
    assert at(ds, name) == 'cups' and at(get(mine), name) == '.removed'

def test_cleaning_is_asked_for_again(mine):
    ds = get(mine)
    ds.mark(cleaned=True)
    assert get(mine).marks['cleaned']
    photo(mine/'cups'/'new.bmp', 50)
    assert not get(mine).marks['cleaned']

# -- Labels, copies, limits

def test_a_label_gets_another_name(mine):
    ds = get(mine)
    name = of(ds, 'cups/1.bmp')
    (mine/'cups').rename(mine/'mugs')
    ds = get(mine)
    assert ds.counts() == dict(mugs=10, plates=10) and at(ds, name) == 'mugs' and len(ds.rows) == 20

def test_of_two_files_with_the_same_bytes_one_goes(mine):
    photo(mine/'cups'/'copy.bmp', 1)
    ds = get(mine)
    assert ds.counts() == dict(cups=10, plates=10)
    (mine/'cups'/'1.bmp').unlink()
    assert get(mine).counts() == dict(cups=10, plates=10)
    (mine/'cups'/'copy.bmp').unlink()
    assert get(mine).counts() == dict(cups=9, plates=10)

def test_the_choice_of_a_limit_is_stable(mine, capsys):
    ds = get(mine, 5)
    was = {r['image_url'] for r in ds.rows}
    gone = next(o for o in was if o.startswith('cups'))
    (mine/gone).unlink()
    for i in range(20): photo(mine/'cups'/f'new{i}.bmp', 200+i)
    capsys.readouterr()
    ds = get(mine, 5)
    now = {r['image_url'] for r in ds.rows if r['reason'] == ''}
    assert ds.counts() == dict(cups=5, plates=5) and len(was & now) == 9
    assert 'mine: 1 new, 1 deleted; 10 of 10 photos are in' in capsys.readouterr().out

def test_a_renamed_photo_stays_in_the_choice(mine):
    ds = get(mine, 5)
    for i, r in enumerate([r for r in ds.rows if r['label'] == 'cups']): (mine/r['image_url']).rename(mine/'cups'/f'renamed{i}.bmp')
    again = get(mine, 5)
    assert again.digest() == ds.digest() and len(again.rows) == 10

def test_what_cannot_be_read_right_now_stays(mine, monkeypatch):
    from eyewear.data import folders as follow
    ds = get(mine)
    def denied(path, *args): raise PermissionError(13, 'Permission denied')
    monkeypatch.setattr(follow, 'open', denied, raising=False)
    assert get(mine).digest() == ds.digest()

def test_an_empty_folder_takes_nothing_out(mine):
    from eyewear.core import SourceError
    ds = get(mine)
    for f in (mine/'cups').iterdir(): f.unlink()
    with pytest.raises(SourceError, match='no photos for the label cups'): get(mine)
    assert len(ds.files()) == 20

def test_a_label_that_is_gone_with_all_its_photos_takes_nothing_out(mine, tmp_path):
    from eyewear.core import SourceError
    for i in range(4): photo(mine/'bowls'/f'{i}.bmp', 300+i)
    ds = get(mine)
    (mine/'cups').rename(mine/'mugs')
    assert get(mine).counts() == dict(mugs=10, plates=10, bowls=4)
    mark, before = ds.marks, state(ds.path)
    (mine/'mugs').rename(tmp_path/'unplugged')
    with pytest.raises(SourceError, match='mine: the label mugs is gone.* LABELS=') as e: get(mine)
    assert '\n' not in str(e.value) and ds.marks == mark and state(ds.path) == before
    assert get(mine, labels=['plates', 'bowls']).counts() == dict(plates=10, bowls=4)
    (tmp_path/'unplugged'/'3.bmp').rename(mine/'plates'/'was a mug.bmp')
    assert get(mine).counts() == dict(bowls=4, plates=11)

def test_a_photo_that_a_hand_has_dropped_in_stays(mine):
    ds = get(mine)
    photo(ds.path/'cups'/'by hand.bmp', 500)
    (mine/'cups'/'1.bmp').unlink()
    assert get(mine).counts() == dict(cups=10, plates=10)

def test_stopped_in_the_middle(mine, monkeypatch):
    from eyewear.data.dataset import Dataset
    get(mine)
    for i in range(4): (mine/'cups'/f'{i}.bmp').rename(mine/'plates'/f'x{i}.bmp')
    decide, calls = Dataset.decide, []
    def stop(self, *args, **kwargs):
        calls.append(args)
        if len(calls) == 3: raise KeyboardInterrupt
        return decide(self, *args, **kwargs)
    with monkeypatch.context() as m:
        m.setattr(Dataset, 'decide', stop)
        with pytest.raises(KeyboardInterrupt): get(mine)
    ds = get(mine)
    assert ds.counts() == dict(cups=6, plates=14) and len(ds.rows) == 20 and len(ds.decisions()) == 4

# -- Lists

def write(path, rows): path.write_text('label,file\n'+''.join(f'{o},{f}\n' for o, f in rows), encoding='utf-8')

def test_a_list_of_files_is_followed(mine):
    rows = [(o, f'{o}/{i}.bmp') for o in ('cups', 'plates') for i in range(5)]
    write(mine/'m.csv', rows)
    ds = get(mine/'m.csv')
    a, b = of(ds, 'cups/0.bmp'), of(ds, 'cups/1.bmp')
    write(mine/'m.csv', [('plates', 'cups/0.bmp'), *rows[2:]])
    ds = get(mine/'m.csv')
    assert ds.counts() == dict(cups=3, plates=6) and (at(ds, a), at(ds, b)) == ('plates', '.removed')

def test_a_list_of_addresses_is_followed_and_nothing_is_fetched_twice(tmp_path):
    with PhotoHost() as host:
        rows = [(o, host.url(f'/ok/{10*k+i}.jpg')) for k, o in enumerate(('cups', 'plates')) for i in range(4)]
        write(tmp_path/'m.csv', rows)
        ds = get(tmp_path/'m.csv', allow=['127.0.0.1'])
        a, b, n = of(ds, rows[0][1]), of(ds, rows[1][1]), host.total
        write(tmp_path/'m.csv', [('plates', rows[0][1]), *rows[2:]])
        ds = get(tmp_path/'m.csv', allow=['127.0.0.1'])
        assert host.total == n
    assert ds.counts() == dict(cups=2, plates=5) and (at(ds, a), at(ds, b)) == ('plates', '.removed')
