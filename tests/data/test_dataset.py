"A dataset through crashes, hands, strangers' files and two processes at once."
import copy, io, json, os, random, re, subprocess, sys, time
from pathlib import Path
import numpy as np
import pytest
from PIL import Image
from eyewear import photo
from eyewear.core import DatasetError, sha256
from eyewear.data import dataset, journal
from eyewear.data.dataset import Dataset, has_mark, last_dataset, read_marks, split_groups
from eyewear.data.journal import DecisionLog, columns
from eyewear.data.sources import write_attribution
from eyewear.page.widgets import keep_correction

def jpeg(i, size=(24, 18)):
    "A photo of its own for each number"
    width, height = size
    pixels = np.random.default_rng(i).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return photo.jpeg(Image.fromarray(pixels))

def dishes(path, n=3):
    "A dataset of `n` cups and `n` plates"
    ds = Dataset.create(path)
    for i, label in enumerate(['plates', 'cups']):
        for j in range(n): ds.add(jpeg(100*i+j), label, source='test', image_url=f'https://example.org/{label}/{j}')
    return ds

@pytest.fixture
def ds(tmp_path): return dishes(tmp_path/'d')

def places(ds): return {f.name: f.parent.name for f in [*ds.files(), *(ds.path/'.removed').iterdir()]}
def names(ds, label): return [f.name for f in ds.files() if f.parent.name == label]
def shot(path):
    "Every file and folder below `path`, itself too: name, time, bytes"
    files = [path, *path.rglob('*')]
    return {f: (f.lstat().st_mtime_ns, f.read_bytes() if f.is_file() else b'') for f in files}
def python(code, *args):
    "A process of its own that runs `code`"
    return subprocess.Popen([sys.executable, '-c', code, *map(str, args)], stdout=subprocess.PIPE, text=True)

def command(name, *args, **env):
    "The script `eyewear-<name>`, run to its end"
    script = Path(sys.executable).with_name(f'eyewear-{name}')
    return subprocess.run([script, *args], capture_output=True, text=True, timeout=120, env={**os.environ, **env})

def log_only(ds, name, to, **about):
    "An entry of the log that nobody has carried out"
    return DecisionLog(ds.log).add(name=name, to=to, **about)

def many(path, n, about=lambda i: {}):
    "A dataset of `n` files that are only called like photos of cups; `about(i)` gives further cells"
    ds = Dataset.create(path)
    (ds.path/'cups').mkdir()
    for i in range(n):
        h = sha256(str(i).encode())
        file = f'cups/cups_{h[:16]}.jpg'
        (ds.path/file).write_bytes(b'x')
        digests = dict(sha256=h, file_sha256=h, group=h[:16])
        ds.rows.append(full_row(file=file, label='cups', status='ok', **digests, **about(i)))
    ds.save()
    return ds

def own_photos(path):
    "Photos, a letter and notes of somebody who never heard of eyewear"
    for label in ('cats', 'dogs'):
        (path/label).mkdir(parents=True)
        for i in range(2): (path/label/f'IMG {i}.JPG').write_bytes(jpeg(i, (1500, 900)))
    (path/'cats'/'letter.docx').write_bytes(b'PK')
    (path/'notes.txt').write_text('mine')
    return path

# ---- what is no dataset

def test_a_folder_that_is_no_dataset_stays_as_it_is(tmp_path):
    own = own_photos(tmp_path/'own')
    before = shot(own)
    for look in (Dataset, Dataset.open, lambda o: Dataset(o, mend=False), last_dataset):
        with pytest.raises(DatasetError, match='own: eyewear did not make this folder') as e: look(own)
        assert '\n' not in str(e.value)
    with pytest.raises(DatasetError, match='own: has something in it.*give a new or empty folder'): Dataset.create(own)
    assert shot(own) == before

COMMANDS = [('clean', '--list'), ('clean',), ('clean', '--undo', 'all'), ('clean', '--review'), ('app', '--corrections')]

@pytest.mark.parametrize('args', COMMANDS)
def test_no_command_touches_a_folder_that_is_no_dataset(tmp_path, args):
    own = own_photos(tmp_path/'own')
    before = shot(own)
    path = [own] if args[-1] == '--corrections' else ['--path', own]
    res = command(*args, *path, EYEWEAR_HOME=str(tmp_path/'home'))
    assert res.returncode == 2 and len(res.stderr.splitlines()) == 1 and str(own) in res.stderr
    assert shot(own) == before and not (tmp_path/'home').exists()

@pytest.mark.parametrize('mark', ['', '[]', 'null', '{}', '{"name":"x"}', '['*100_000, '\xff'])
def test_a_mark_of_somebody_else_is_none(tmp_path, mark):
    (tmp_path/'.download.json').write_text(mark, encoding='latin1')
    with pytest.raises(DatasetError, match='did not make'): Dataset(tmp_path)
    with pytest.raises(DatasetError, match='something in it'): Dataset.create(tmp_path)
    assert read_marks(tmp_path) == {} and has_mark(tmp_path)
    assert [o.name for o in tmp_path.iterdir()] == ['.download.json']

def test_a_dataset_of_an_earlier_version_is_opened(ds):
    (ds.path/'.download.json').write_text('{"source":"bing", "name":"bing", "limit":3, "labels":["cups"]}')
    assert Dataset(ds.path).labels == ['cups'] and Dataset(ds.path).source == 'bing'
    ds.mark(cleaned=True)
    about = dict(made_by='eyewear', source='bing', name='bing', limit=3, labels=['cups'], done=[], cleaned=True)
    assert ds.marks == about and has_mark(ds.path) and not has_mark(ds.path/'cups')
    ds.mark(labels=['../../victim', 'cups', 3], done='all')                  # Labels that lead elsewhere are passed over
    assert Dataset(ds.path).labels == ['cups'] and ds.marks['done'] == []

def test_a_new_or_empty_folder_becomes_a_dataset(tmp_path):
    for o in ('.DS_Store', 'Thumbs.db', '..download.json.7-8.tmp'): (tmp_path/o).write_bytes(b'x')
    (tmp_path/'lost+found').mkdir()
    for path in (tmp_path, tmp_path/'a'/'b'):
        ds = Dataset.create(path, ['cups'], name='dishes')
        assert ds.source == 'dishes' == Dataset.create(path).source and ds.only == ['cups'] and (path/'.removed').is_dir()

def test_looking_writes_nothing(ds):
    with ds.log.open('a') as f: f.write('{"name": "torn')
    with ds.manifest.open('a') as f: f.write('torn')
    ds.find(names(ds, 'cups')[0]).unlink()
    (ds.path/'cups'/'b.jpg').write_bytes(jpeg(7))
    (ds.path/'.removed').rmdir()
    before = shot(ds.path)
    look = Dataset.open(ds.path, mend=False)
    assert look.counts() == {'plates':3, 'cups':2} and look.decisions() == []
    assert len(look.split()) == 5 and look.digest()
    assert last_dataset(ds.path, mend=False).source == 'd' and shot(ds.path) == before

def test_list_reads_a_folder_that_may_only_be_read(ds):
    ds.decide(names(ds, 'cups')[0], None, why='chipped')
    for o in (ds.path, *ds.path.rglob('*')): o.chmod(o.stat().st_mode & 0o555)
    before = shot(ds.path)
    out = command('clean', '--list', '--path', ds.path).stdout
    for o in (ds.path, *ds.path.rglob('*')): o.chmod(o.stat().st_mode | 0o200)
    assert 'removed by rule: chipped' in out
    assert {f: data for f, (_, data) in shot(ds.path).items()} == {f: data for f, (_, data) in before.items()}

# ---- labels are no paths

EVIL = ['../../victim', '/tmp/victim', '..', '.', '.removed', '', ' ', 'a/b', 'a\\b', 'C:cups', 'cups\0', 'caf\udce9', 'x'*200, None, 3]

def uses_of(ds, label):
    "All that takes a label and writes"
    yield lambda: ds.add(jpeg(7), label)
    yield lambda: ds.store(jpeg(7), label)
    yield lambda: ds.append(dict(file='cups/a.jpg', label=label, status='ok'))
    yield lambda: ds.fail(label, 'no')
    yield lambda: Dataset.create(ds.path, [label])
    yield lambda: keep_correction(ds, Image.new('RGB', (9, 9)), label, 'cups')

@pytest.mark.parametrize('label', EVIL)
def test_no_label_leads_out_of_a_dataset(ds, tmp_path, label):
    before = shot(tmp_path)
    for do in uses_of(ds, label):
        with pytest.raises(DatasetError, match='label') as e: do()
        assert '\n' not in str(e.value)
    if label is not None:
        with pytest.raises(DatasetError, match='no label of'): ds.decide(names(ds, 'cups')[0], label)
    assert shot(tmp_path) == before

BAD_CELLS = [('label', '../../victim'), ('file', '../../victim/a.jpg'), ('file', '/tmp/a.jpg'), ('file', 'a.jpg'),
    ('file', 'cups/../../a.jpg'), ('file', 'cups/thesis.docx'), ('file', 'cups/.a.jpg'), ('file', ''),
    ('file_sha256', '../../x'), ('sha256', 'a/b'), ('width', 'wide')]

def full_row(**cells): return {**dict.fromkeys(columns, ''), **cells}

@pytest.mark.parametrize('column, text', BAD_CELLS)
def test_a_row_that_leads_elsewhere_is_passed_over(ds, capsys, column, text):
    row = full_row(file='cups/a.jpg', label='cups', sha256='0', file_sha256='0', status='ok')
    row[column] = text
    with ds.manifest.open('a') as f: f.write(','.join(row[c] for c in columns)+'\n')
    assert Dataset(ds.path).rows == ds.rows and '1 damaged lines skipped' in capsys.readouterr().out

@pytest.mark.skipif(os.name != 'posix', reason='links need a right of their own on Windows')
@pytest.mark.parametrize('name', ['cups', '.removed', '.cache', 'manifest.csv', 'decisions.jsonl'])
def test_nothing_is_written_through_a_link(ds, tmp_path, name):
    a, b, c = names(ds, 'cups')
    log_only(ds, names(ds, 'plates')[0], 'cups', by='rule', **{'from':'plates'})
    victim = tmp_path/'victim'
    if (ds.path/name).exists(): os.replace(ds.path/name, victim)
    else: victim.mkdir()
    (ds.path/name).symlink_to(victim)
    before = shot(victim)
    with pytest.raises(DatasetError, match=f'{name}: a link, and eyewear never writes through one'):
        Dataset(ds.path).add(jpeg(7), 'cups')
    assert shot(victim) == before

# ---- names in any encoding

OPEN_TWICE = """import sys
from eyewear.data.dataset import Dataset
for _ in 'ab': ds = Dataset(sys.argv[1])
print(ds.counts(), ds.decisions(), ds.rows[-1]['image_url'], ds, ds.path.name == sys.argv[2])"""

@pytest.mark.skipif(sys.platform != 'linux', reason='elsewhere a name is text')
@pytest.mark.parametrize('env', [dict(LC_ALL='C.UTF-8'), dict(LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0')])
def test_names_that_are_no_text(tmp_path, env):
    path = Path(os.fsdecode(os.fsencode(tmp_path)+b'/d\xe9'))
    ds = dishes(path)
    name = os.fsdecode(b'caf\xe9.jpg')
    (path/'cups'/name).write_bytes(jpeg(7))
    (path/os.fsdecode(b'label\xe9')).mkdir()
    ds.decide(names(ds, 'cups')[0], None, why='\udce9 \ud800')
    ds.fail('cups', 'no \udce9', image_url='\ud800')
    entry = dict(name=names(ds, 'cups')[0], to='plates', by='\udce9', why='\ud800', **{'from':'cups'})
    with ds.log.open('a') as f: f.write(json.dumps(entry)+'\n')
    argv = [sys.executable, '-c', OPEN_TWICE, os.fsencode(path), b'd\xe9']
    out = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **env})
    assert "{'plates': 4, 'cups': 2}" in out.stdout and r'cups/caf\xe9.jpg' in out.stdout and 'True' in out.stdout, out.stderr
    assert r'label\xe9: skipped' in out.stdout and (path/'cups'/name).read_bytes() == jpeg(7)
    assert command('clean', '--list', '--path', path, **env).returncode == 0

# ---- labels and the split

def test_labels_are_in_the_order_of_the_manifest(ds):
    assert ds.labels == ['plates', 'cups'] == Dataset(ds.path).labels
    (ds.path/'bowls').mkdir()
    files = ds.by_label()
    assert ds.labels == ['plates', 'cups', 'bowls'] == list(files) == list(ds.counts())
    assert sum(files.values(), []) == [*ds.files()] and {o: len(files[o]) for o in files} == ds.counts()
    assert Dataset.create(ds.path, ['cups']).labels == ['cups'] == Dataset(ds.path).labels

def test_a_split_is_computed_once_for_a_state_of_the_folder(ds, monkeypatch):
    ds.add(jpeg(7), 'bowls')
    computed = []
    def counted(groups):
        computed.append(groups)
        return split_groups(groups)
    monkeypatch.setattr(dataset, 'split_groups', counted)
    first = ds.split()
    notes = ds.notes
    ds.split().clear()                                                       # What is given out is a copy
    assert ds.split() == first and len(computed) == 1 and ds.notes == notes and 'bowls: 1 group' in notes[-1]

def one_group(ds):
    for r in ds.rows: r['group'] = 'one'
    ds.save()

CHANGES = {
    'decided': lambda ds, name: ds.decide(name, 'plates'),
    'decided by another process': lambda ds, name: Dataset(ds.path).decide(name, None),
    'added': lambda ds, name: ds.add(jpeg(7), 'cups'),
    'deleted by hand': lambda ds, name: ds.find(name).unlink(),
    'grouped': lambda ds, name: one_group(ds),
    'a new label': lambda ds, name: ds.add(jpeg(7), 'bowls')}

@pytest.mark.parametrize('change', CHANGES)
def test_a_split_follows_every_change(ds, change):
    before = ds.split()
    CHANGES[change](ds, names(ds, 'cups')[0])
    after = ds.split()
    again = Dataset(ds.path)
    assert after == again.split() and ds.notes == again.notes and (after, ds.notes) != (before, [])

# ---- the manifest

@pytest.mark.parametrize('mend', [True, False])
def test_a_manifest_without_titles_is_brought_up_to_date(ds, mend):
    lines = [','.join(o.split(',')[:8]+o.split(',')[9:]) for o in ds.manifest.read_text().splitlines()]
    old = '\n'.join(lines)+'\n'
    ds.manifest.write_text(old)
    new = Dataset(ds.path, mend=mend)
    assert 'title' not in lines[0] and new.rows == ds.rows
    if mend: assert ds.manifest.read_text().splitlines()[0] == ','.join(columns)
    else: assert ds.manifest.read_text() == old                              # Who only looks writes nothing
    new.add(jpeg(7), 'cups', title='Seven')
    assert [r['title'] for r in Dataset(ds.path).rows] == ['']*6+['Seven']

def test_columns_of_your_own_are_kept(ds):
    head, *lines = ds.manifest.read_text().splitlines()
    lines = [f'\ufeff{head},mine', *(f'{o},{i}' for i, o in enumerate(lines)), '']
    ds.manifest.write_bytes('\r\n'.join(lines).encode())                     # As a spreadsheet saves it
    Dataset(ds.path).save()
    assert [r['mine'] for r in Dataset(ds.path).rows] == list('012345')

TITLES = {'two\nlines':'two lines', 'a "quote", and a comma':'a "quote", and a comma', 'nul\0':'nul ', '\r\n':'  ',
    '  spaces  ':'  spaces  ', 'Ä \u2028 \x85 \x0b 👓':'Ä \u2028 \x85 \x0b 👓', '=1+1':'=1+1', '"':'"'}

def test_any_text_fits_in_a_cell(ds):
    for i, text in enumerate(TITLES): ds.add(jpeg(50+i), 'cups', title=text, image_url=f'u{i}')
    again = Dataset(ds.path)
    assert again.rows == ds.rows and len(again.rows) == 14
    assert [r['title'] for r in ds.rows[-8:]] == list(TITLES.values())

@pytest.mark.parametrize('cut', range(1, 240, 7))
def test_a_torn_row_costs_no_photo(tmp_path, cut):
    ds = dishes(tmp_path/'d', 2)
    ds.manifest.write_bytes(ds.manifest.read_bytes()[:-cut])
    for _ in range(2):
        again = Dataset(ds.path)
        assert places(again) == places(ds) and len(again.split()) == 4 and again.digest() == ds.digest()
    again.add(jpeg(9), 'cups', title='after')
    assert Dataset(ds.path).rows[-1]['title'] == 'after'

def test_damaged_rows_are_passed_over(ds, capsys):
    head, *lines = ds.manifest.read_bytes().splitlines(keepends=True)
    ds.manifest.write_bytes(head+b'\xff\xfe\0garbage\n'+lines[0]+b'a,b,c\n'+b''.join(lines[1:])+b'"'*200_000+b'\n')
    assert Dataset(ds.path).rows == ds.rows
    assert '3 damaged lines skipped' in capsys.readouterr().out

# ---- the log

def test_what_another_process_wrote_is_noticed(ds):
    a, b, c = names(ds, 'cups')
    other = Dataset(ds.path)
    ds.decide(a, None)
    assert [e['name'] for e in other.decisions()] == [a]
    other.decide(b, 'plates', by='person')
    assert ds.decide(b, None) is None and [e['n'] for e in ds.decisions()] == [1, 2]
    lines = ds.log.read_text()
    ds.log.write_text(lines.replace(a, c)+lines)                             # In place, by an editor
    assert [e['name'] for e in ds.decisions()] == [c, b, a, b]
    ds.log.unlink()
    assert ds.decisions() == [] == other.decisions()

def test_garbage_in_the_log_stays_and_is_passed_over(ds, capsys):
    a, b, c = names(ds, 'cups')
    ds.decide(a, None)
    entries = [{'name':3, 'from':None, 'to':None, 'by':'rule'}, {'name':'../x', 'from':None, 'to':'cups', 'by':'rule'},
        {'name':b, 'from':'cups', 'to':'../..', 'by':'rule'}, {'name':b, 'from':'cups', 'to':'.cache', 'by':'rule'},
        {'name':b, 'from':'cups', 'to':None, 'undo':'x'}]
    bad = [b'hello', b'\xff\xfe\0', b'[]', b'{}', b'null', b'['*100_000, b'', b'{"n": 1}', *(json.dumps(o).encode() for o in entries)]
    with ds.log.open('ab') as f: f.write(b'\n'.join(bad)+b'\n')
    before = ds.log.read_bytes()
    again = Dataset(ds.path)
    assert '6 lines skipped that are not decisions' in capsys.readouterr().out
    assert [e['n'] for e in again.decisions()] == [1] and places(again) == places(ds)
    assert ds.log.read_bytes() == before
    assert again.decide(b, None)['n'] == len(bad)+2

def test_a_decision_is_on_the_disk_before_the_photo_moves(ds, monkeypatch):
    did = []
    a = names(ds, 'cups')[0]
    def watch(name, real):
        def watched(*args):
            did.append(name)
            return real(*args)
        monkeypatch.setattr(os, name, watched)
    watch('fsync', os.fsync)
    watch('replace', os.replace)
    ds.decide(a, None)
    assert did == ['fsync', 'fsync', 'replace']                              # The log, and its name in the folder
    ds.decide(a, 'cups')
    assert did[3:] == ['fsync', 'replace']

def test_thousands_of_decisions(tmp_path, monkeypatch):
    ds = many(tmp_path/'d', 2000)
    (ds.path/'plates').mkdir()
    monkeypatch.setattr(os, 'fsync', lambda fd: None)
    t = time.perf_counter()
    for name in names(ds, 'cups'): ds.decide(name, 'plates')
    assert ds.counts() == {'cups':0, 'plates':2000} and time.perf_counter()-t < 10
    assert len(ds.undo(all=True)) == 2000 and ds.counts() == {'cups':2000, 'plates':0}
    assert time.perf_counter()-t < 20

# ---- undo

def test_undo_by_number(ds):
    a = names(ds, 'cups')[0]
    before = places(ds)
    ds.decide(a, 'plates', by='rule')
    ds.decide(a, None, by='person')
    assert [e['n'] for e in ds.undo(1)] == [1] and places(ds)[a] == '.removed'   # A later decision on it holds
    assert [e['n'] for e in ds.undo(2)] == [2] and places(ds) == before == places(Dataset(ds.path))
    assert ds.undo(all=True) == [] == ds.undo() == ds.undo(by=('rule', 'key'))
    for n in (1, 0, 99, -1):
        with pytest.raises(DatasetError, match=f'{n}: no decision that holds'): ds.undo(n)

def test_undo_of_a_photo_that_is_gone(ds):
    a = names(ds, 'cups')[0]
    ds.decide(a, 'plates')
    ds.find(a).unlink()
    again = Dataset(ds.path)
    assert [e['name'] for e in again.undo(all=True)] == [a] and again.decisions() == []
    with pytest.raises(DatasetError, match='no such photo'): again.decide(a, None)

# ---- what is mended

def test_photos_dropped_in_by_hand(ds, capsys):
    dropped = {'IMG 1.JPG':jpeg(1, (1500, 900)), 'b.jpg':jpeg(7), 'c.heic':b'not a photo at all', 'far_0123456789abcdef.jpg':jpeg(4),
        'letter.docx':b'PK', 'note.txt':b'mine', '.hidden.jpg':jpeg(5), 'Thumbs.db':b'x'}
    for name, data in dropped.items(): (ds.path/'cups'/name).write_bytes(data)
    (ds.path/'.removed'/'note.txt').write_text('mine')
    new = Dataset(ds.path)
    assert new.counts()['cups'] == 6 and len(new.split()) == 9
    assert all(re.fullmatch(r'cups_[0-9a-f]{16}\.jpg', n) for n in names(new, 'cups'))
    by_hand = {r['image_url'] for r in new.rows if r['source'] == 'by hand'}
    assert by_hand == {'cups/IMG 1.JPG', 'cups/b.jpg', 'cups/far_0123456789abcdef.jpg'}
    assert {o: (ds.path/'cups'/o).read_bytes() for o in dropped} == dropped
    assert (ds.path/'.removed'/'note.txt').read_text() == 'mine'
    assert '1 file(s) cannot be opened as photos and stay where they are (cups/c.heic)' in capsys.readouterr().out

def drop(ds, place='cups/b.jpg', i=7):
    "Put a photo into the folder of a label, and open the dataset"
    (ds.path/place).write_bytes(jpeg(i))
    return Dataset(ds.path)

def test_a_dropped_photo_is_copied_once(ds):
    ds.decide(names(ds, 'cups')[0], None)
    first = drop(ds)
    before = shot(ds.path)
    assert first.counts()['cups'] == 3 and Dataset(ds.path).rows == first.rows and shot(ds.path) == before
    assert drop(ds, 'cups/again.jpg').rows == first.rows                       # The same bytes under another name

def test_a_dropped_photo_that_is_changed_is_a_new_one_and_a_deleted_one_stays_in(ds):
    drop(ds, i=7)
    new = drop(ds, i=5)
    assert new.counts()['cups'] == 5 and (ds.path/'cups'/'b.jpg').read_bytes() == jpeg(5)
    (ds.path/'cups'/'b.jpg').unlink()
    assert Dataset(ds.path).counts()['cups'] == 5

def test_a_dropped_photo_follows_its_file_to_another_label(ds):
    first = drop(ds)
    before = names(first, 'cups')
    for old, label in (('cups', 'plates'), ('plates', 'cups'), ('cups', 'plates')):
        os.replace(ds.path/old/'b.jpg', ds.path/label/'b.jpg')
        new = Dataset(ds.path)
        assert new.counts()[label] == 4 and len(new.rows) == len(first.rows) and new.decisions()[-1]['by'] == 'person'
    new.undo(all=True)
    assert names(Dataset(ds.path), 'cups') == before                              # Not moved once more at the next opening
    assert (ds.path/'plates'/'b.jpg').read_bytes() == jpeg(7)

@pytest.mark.parametrize('lost', [True, False])
def test_a_dropped_photo_that_was_taken_out_stays_out(ds, lost):
    new = drop(ds)
    name = Path(new.rows[-1]['file']).name
    new.decide(name, None)
    if lost: new.find(name).unlink()                                         # Its row says that it is missing
    else: (ds.path/'cups'/'b.jpg').rename(ds.path/'cups'/'c.jpg')
    for _ in range(2): again = Dataset(ds.path)
    assert places(again)[name] == '.removed'

def test_one_file_dropped_under_two_labels_is_two_photos(ds):
    for o in ('cups', 'plates'): (ds.path/o/'b.jpg').write_bytes(jpeg(7))
    new = Dataset(ds.path)
    assert new.counts() == {'plates':4, 'cups':4} and len({r['group'] for r in new.rows[-2:]}) == 1
    assert Dataset(ds.path).rows == new.rows

def test_a_file_of_ours_in_another_folder_has_its_label(ds):
    a = names(ds, 'cups')[0]
    os.replace(ds.path/'cups'/a, ds.path/'plates'/a)
    new = Dataset(ds.path)
    assert new.counts() == {'plates':4, 'cups':2} and len(new.rows) == 6

def test_a_decision_moves_no_file_that_is_not_ours(ds):
    (ds.path/'cups'/'thesis.docx').write_bytes(b'PK')
    with pytest.raises(DatasetError, match='thesis.docx: not in'): ds.decide('thesis.docx', None)
    log_only(ds, 'thesis.docx', None, by='person', **{'from':'cups'})
    Dataset(ds.path)
    assert (ds.path/'cups'/'thesis.docx').read_bytes() == b'PK'

def temporary(path, age=9999):
    "A file that a program has left `age` seconds ago"
    path.write_bytes(b'half')
    os.utime(path, (time.time()-age,)*2)
    return path

@pytest.mark.parametrize('name', ['cups/.letter.tmp', 'cups/.1.jpg.12-12.tmp', 'cups/.cups_0.jpg.12-34.tmp',
    'cups/.plates_0123456789abcdef.jpg.12-34.tmp', '.removed/.cups_0123456789abcdef.jpg.1-1.tmp', '.notes.txt.12-12.tmp'])
def test_temporary_files_of_others_stay(ds, name):
    mine = temporary(ds.path/name)
    Dataset(ds.path)
    assert mine.exists()

def test_a_dropped_file_that_is_only_called_like_ours(ds, capsys):
    dropped = {'cups/cups_aaaaaaaaaaaaaaaa.jpg':b'no photo', 'plates/cups_bbbbbbbbbbbbbbbb.jpg':jpeg(7),
        'cups/cups_cccccccccccccccc.jpg':jpeg(8, (1500, 900))}
    for o, data in dropped.items(): (ds.path/o).write_bytes(data)
    new = Dataset(ds.path)
    told = '1 file(s) cannot be opened as photos and stay where they are (cups/cups_aaaaaaaaaaaaaaaa.jpg)'
    assert told in capsys.readouterr().out and new.counts() == {'plates':4, 'cups':4}
    assert {r['image_url'] for r in new.rows[-2:]} == set(list(dropped)[1:])
    for o in dropped:
        with pytest.raises(DatasetError, match='not in'): new.decide(Path(o).name, None)
    before = shot(ds.path)
    assert Dataset(ds.path).rows == new.rows and shot(ds.path) == before
    assert {o: (ds.path/o).read_bytes() for o in dropped} == dropped

@pytest.mark.parametrize('data', [b'<html>', b'', jpeg(8), jpeg(8)[:300], jpeg(8, (1500, 900))])
def test_whatever_was_stored_before_a_kill_is_ours(ds, data):
    row = ds.store(data, 'cups')                                             # A kill before `append`
    name = Path(row['file']).name
    again = Dataset(ds.path)
    assert again.row(name)['status'] == 'ok' and again.counts()['cups'] == 4 and again.decide(name, None)

def test_a_stored_photo_and_a_file_that_is_only_called_like_it(ds):
    (ds.path/'bowls').mkdir()
    row = ds.store(jpeg(8), 'cups')
    name = Path(row['file']).name
    (ds.path/'bowls'/name).write_bytes(b'no photo')
    again = Dataset(ds.path)
    before = shot(ds.path)
    assert again.find(name).read_bytes() == jpeg(8) and places(again)[name] == 'cups'
    assert shot(Dataset(ds.path).path) == before

def test_an_interrupted_download_finds_its_photo_fresh(ds):
    row = ds.store(jpeg(8, (1400, 900)), 'cups')                             # A kill before `append`
    again = Dataset(ds.path)
    assert again.row(Path(row['file']).name)['source'] == 'by hand' and again.counts()['cups'] == 4
    n = len(again.rows)
    new = again.add(jpeg(8, (1400, 900)), 'cups', source='bing', image_url='https://example.org/8', licence='CC BY 4.0')
    assert new['status'] == 'ok' and new['sha256'] == row['sha256']
    assert len(again.rows) == n and again.counts()['cups'] == 4
    third = Dataset(ds.path)
    assert third.rows == again.rows and not (ds.path/'.originals').exists()

def test_a_row_by_hand_that_comes_late_takes_nothing_away(ds):
    row = ds.store(jpeg(8), 'cups')
    other = Dataset(ds.path)                                                 # Opened while the download was between photo and row
    ds.append({**row, 'source':'bing', 'title':'Eight'})
    assert Dataset(ds.path).row(Path(row['file']).name)['title'] == 'Eight'
    other.append({**row, 'source':'by hand'})
    again = Dataset(ds.path)
    assert [r['title'] for r in again.rows if r['file'] == row['file']] == ['Eight']

def test_rows_without_a_photo(ds, capsys):
    a, b, c = names(ds, 'cups')
    ds.decide(b, None)
    for name in (a, b): ds.find(name).unlink()
    again = Dataset(ds.path)
    assert f'2 photos of the manifest are not on disk ({min(a, b)}, {max(a, b)})' in capsys.readouterr().out
    assert {n: again.row(n)['status'] for n in (a, b, c)} == {a:'missing', b:'missing', c:'ok'}
    assert a not in again.split() and again.counts() == {'plates':3, 'cups':1} and again.digest()
    with pytest.raises(DatasetError, match='no such photo'): again.find(a)
    Dataset(ds.path)
    assert not capsys.readouterr().out                                       # Said once
    ds.add(jpeg(0), 'plates', image_url='x')
    url = again.row(a)['image_url']
    row = again.add(jpeg(100+int(url[-1])), 'cups', image_url=url)           # It may come again
    assert row['status'] == 'ok' and again.find(a) and len(again.rows) == 6
    (ds.path/'.removed'/b).write_bytes(b'back from a backup')
    assert Dataset(ds.path).row(b)['status'] == 'ok'

@pytest.mark.parametrize('empty', [True, False])
def test_the_manifest_is_gone_or_empty(ds, empty):
    a, b, c = names(ds, 'cups')
    ds.decide(a, 'plates', by='person')
    ds.decide(b, None)
    before = places(ds)
    split = ds.split()
    ds.manifest.unlink()
    if empty: ds.manifest.touch()
    again = Dataset(ds.path)
    assert places(again) == before and again.split() == split and ds.manifest.read_text().startswith('file,')
    assert again.row(a)['label'] == 'cups' and again.digest() == ds.digest()
    again.undo(all=True)
    assert again.counts() == {'cups':3, 'plates':3} and len(again.split()) == 6

def test_the_log_is_gone(ds):
    ds.decide(names(ds, 'cups')[0], None)
    before = places(ds)
    ds.log.unlink()
    again = Dataset(ds.path)
    assert places(again) == before and again.decisions() == [] and again.decide(names(again, 'cups')[0], None)['n'] == 1

def test_a_photo_in_two_folders(ds):
    a, b, c = names(ds, 'cups')
    ds.decide(a, 'plates')
    for name, to in ((a, 'cups'), (b, 'plates')): (ds.path/to/name).write_bytes(ds.find(name).read_bytes())
    (ds.path/'plates'/c).write_bytes(jpeg(66))                               # Another photo under its name
    before = {f.read_bytes() for f in ds.path.glob('[!.]*/*')}
    again = Dataset(ds.path)
    at = places(again)
    assert (at[a], at[b], at[c]) == ('plates', 'cups', 'cups') and again.counts() == {'plates':5, 'cups':2}
    assert {f.read_bytes() for f in again.files()} == before and all(again.row(f.name) for f in again.files())

@pytest.mark.parametrize('label', ['cups', 'a label of twenty!', 'a label of twenty-seven too', 'é'*23])
def test_files_of_a_write_that_died(ds, label):
    (ds.path/label).mkdir(exist_ok=True)
    def unfinished(i): return ds.path/label/('.'+f'{label}_{i:016x}.jpg'[:40]+'.12-140737.tmp')
    old = temporary(unfinished(1))
    young = temporary(unfinished(2**60), 9)
    files = ('.download.json', 'manifest.csv', 'queue.json', 'answer_key.csv', 'ATTRIBUTION.md')
    ours = [temporary(ds.path/f'.{o}.1-1.tmp') for o in files]
    Dataset(ds.path)
    assert not any(o.exists() for o in [old, *ours]) and young.exists()       # Another process may be writing that one

def test_a_photo_whose_write_died_leaves_nothing(ds, monkeypatch):
    with monkeypatch.context() as m:
        def crash(*args): raise Crash
        m.setattr(os, 'replace', crash)
        m.setattr(Path, 'unlink', lambda *args, **kwargs: None)
        with pytest.raises(Crash): ds.store(jpeg(8), 'cups')
    left = [f for f in (ds.path/'cups').iterdir() if f.name.endswith('.tmp')]
    os.utime(left[0], (0, 0))
    Dataset(ds.path)
    assert len(left) == 1 and not left[0].exists()

# ---- strangers, other copies

def test_replay(ds, tmp_path):
    a, b, c = names(ds, 'cups')
    q = names(ds, 'plates')[0]
    ds.decide(a, 'plates', by='person', why='flat')
    ds.decide(b, None, why='blurred')
    ds.decide(c, 'plates', by='key')
    ds.decide(q, 'cups', by='rule')
    ds.decide(q, None, by='person', why='a bowl')
    other = dishes(tmp_path/'other')
    other.find(b).unlink()
    other.decide(c, 'cups', by='person', why='I know it')
    other = Dataset(other.path)
    done, miss = other.replay(ds.log)
    made = {e['name']: (e['to'], e['by'], e['why']) for e in done}
    assert made == {a:('plates', 'person', 'flat'), q:(None, 'person', 'a bowl')} and miss == [b]
    assert done[0]['when'] == ds.decisions()[0]['when'] and places(other)[c] == 'cups'
    assert {**places(Dataset(other.path)), b:'.removed'} == {**places(ds), c:'cups'}
    assert other.replay(ds.log) == ([], [b]) and len(other.decisions()) == 3
    other.undo(all=True)
    assert other.counts() == {'plates':3, 'cups':2}

def test_replay_of_what_is_no_log(ds, tmp_path):
    with pytest.raises(DatasetError, match='no such file'): ds.replay(tmp_path/'gone.jsonl')
    evil = tmp_path/'evil.jsonl'
    cup = names(ds, 'cups')[0]
    moves = [('../../x', None), (cup, '../..'), (cup, 'spoons'), ('manifest.csv', None), ('..', None)]
    lines = [json.dumps({'name':name, 'from':None, 'to':to, 'by':'person'}) for name, to in moves]
    evil.write_text('\n'.join([*lines, '\xff', '']))
    before = places(ds)
    assert ds.replay(evil) == ([], [cup, 'manifest.csv']) and places(ds) == before and ds.manifest.exists()

def test_a_folder_that_cannot_be_read_or_written(ds, tmp_path, monkeypatch):
    with monkeypatch.context() as m:
        m.setattr(os, 'access', lambda *args: False)
        with pytest.raises(DatasetError, match='cannot be written to; set EYEWEAR_HOME'): Dataset(ds.path)
    if os.name == 'posix' and os.geteuid() == 0:
        tmp_path.chmod(0o755)
        for p in tmp_path.parents:
            if p not in (Path('/tmp'), Path('/')): p.chmod(p.stat().st_mode | 0o011)
        (ds.path/'cups').chmod(0o700)
        os.seteuid(65534)
        try:
            with pytest.raises(DatasetError, match='cannot be'): Dataset(ds.path)
        finally: os.seteuid(0)
    ds.log.mkdir()
    with pytest.raises(DatasetError, match='cannot be'): Dataset(ds.path)

def test_a_full_disk_is_said_in_a_line(ds, monkeypatch):
    a = names(ds, 'cups')[0]
    class Full(io.FileIO):
        def write(self, data): return super().write(data[:9])
    with monkeypatch.context() as m:
        m.setattr(journal, 'open', lambda path, mode, buffering: Full(path, mode), raising=False)
        with pytest.raises(DatasetError, match='decisions.jsonl: cannot be written .No space left'): ds.decide(a, None)
        with pytest.raises(DatasetError, match='manifest.csv: cannot be written'): ds.add(jpeg(77), 'cups', title='77')
    assert places(ds)[a] == 'cups' and ds.decisions() == []
    assert ds.add(jpeg(77), 'cups', title='77')['status'] == 'ok' and ds.decide(a, None)['n'] == 2
    assert Dataset(ds.path).rows[-1]['title'] == '77' and places(Dataset(ds.path))[a] == '.removed'

# ---- two processes

OPEN = 'import sys; from eyewear.data.dataset import Dataset; ds = Dataset(sys.argv[1])\n'
DECIDE = """for to in ('plates', 'cups', None, 'plates'):
    for name in sys.argv[3:]: ds.decide(name, to, by='person', why=sys.argv[2])"""
DOWNLOAD = """
from PIL import Image
from eyewear.photo import jpeg
for i in range(150): ds.add(jpeg(Image.new('RGB', (24, 18+i), 'red')), 'cups', title=str(i), image_url=str(i))"""

def test_two_processes_decide(tmp_path):
    ds = dishes(tmp_path/'d', 20)
    cups = names(ds, 'cups')                # A listing misses what the other process is moving just then
    runs = [python(OPEN+DECIDE, ds.path, o, *cups) for o in 'ab']
    assert [r.wait() for r in runs] == [0, 0]
    held = ds.decisions()
    assert [e['n'] for e in held] == list(range(1, 161)) and len(ds.log.read_text().splitlines()) == 160 and {e['why'] for e in held} == {'a', 'b'}
    last = {e['name']: e['to'] or '.removed' for e in held}
    at = places(ds)
    assert {n: at[n] for n in last} == last and places(Dataset(ds.path)) == at and len(at) == 40

def test_two_processes_open(tmp_path):
    ds = dishes(tmp_path/'d', 20)
    for i, name in enumerate(names(ds, 'cups')):
        if i%2: log_only(ds, name, 'plates', by='rule', **{'from':'cups'})
        else: (ds.path/'cups'/f'{i}.jpg').write_bytes(jpeg(1000+i, (1100, 30)))
        if i%5 == 0: ds.find(names(ds, 'plates')[i]).unlink()
    runs = [python(OPEN+'ds.files()', ds.path) for _ in range(4)]
    assert [r.wait() for r in runs] == [0]*4
    again = Dataset(ds.path)
    assert again.counts() == {'plates':26, 'cups':20} and len(again.split()) == 46
    assert len(list((ds.path/'cups').glob('[0-9]*.jpg'))) == 10
    files = [r['file'] for r in again.rows if r['status'] == 'ok']
    assert len(files) == 46 == len(set(files))

def test_opening_during_a_download_loses_nothing(tmp_path):
    path = tmp_path/'d'
    Dataset.create(path)
    run = python(OPEN+DOWNLOAD, path)
    while run.poll() is None: Dataset.create(path)
    again = Dataset(path)
    assert run.returncode == 0 and again.counts() == {'cups':150}
    assert sorted(int(r['title']) for r in again.rows) == list(range(150))

# ---- any order of things, and a crash anywhere

class Crash(BaseException): "The machine dies"

class Fate:
    "Lets the machine die at the `n`-th thing it does to the disk"
    def __init__(self, monkeypatch, rng):
        self.left = None  # Things that still work; None for all
        self.rng = rng
        def after(real):
            def f(*args, **kw):
                if self.dies(): raise Crash
                out = real(*args, **kw)
                if self.dies(): raise Crash
                return out
            return f
        class File(io.FileIO):
            def write(this, data):
                if not self.dies(): return super().write(data)
                all_but_the_end = len(data)-1
                super().write(data[:self.rng.choice([all_but_the_end, self.rng.randrange(len(data)+1)])])
                raise Crash
        monkeypatch.setattr(os, 'fsync', after(os.fsync))
        monkeypatch.setattr(os, 'replace', after(os.replace))
        monkeypatch.setattr(journal, 'open', lambda path, mode, buffering: File(path, mode), raising=False)
    def dies(self):
        if self.left is None: return False
        self.left -= 1
        return self.left < 0

class Model:
    "What should hold: photos, and a list of decisions"
    def __init__(self):
        self.label = {}  # name -> label that the photo came under
        self.log = []
    def held(self, name=None): return [e for e in self.log if not e['undone'] and name in (None, e['name'])]
    def place(self, name):
        held = self.held(name)
        return (held[-1]['to'] if held else self.label[name]) or '.removed'
    def state(self): return {n: self.place(n) for n in self.label}, [(e['name'], e['to'], e['by']) for e in self.held()]
    def step(self, op, *args):
        "Models of all that may be there on the way, from before to after"
        way = [copy.deepcopy(self)]
        if op == 'add': self.label[args[0]] = args[1]
        elif op == 'decide':
            name, to, by = args
            overruled = by != 'person' and any(e['by'] == 'person' for e in self.held(name))
            if not overruled: self.log.append(dict(name=name, to=to, by=by, undone=False))
        else:
            held = self.held()
            for e in reversed(held[-1:] if op == 'undo' else [e for e in held if e['by'] in args]):
                e['undone'] = True
                way.append(copy.deepcopy(self))
        return [*way, copy.deepcopy(self)]

def seen(ds): return (places(ds), [(e['name'], e['to'], e['by']) for e in ds.decisions()])

def random_step(rng, model, ds, photo_id):
    "An operation, its arguments for `Model.step`, and a function that does it"
    op = rng.choice(['add', 'decide', 'decide', 'decide', 'undo', 'undo_by'] if model.label else ['add'])
    if op == 'add':
        data = jpeg(photo_id)
        label = rng.choice(['cups', 'plates'])
        name = f'{label}_{sha256(data)[:16]}.jpg'
        return op, (name, label), lambda: ds.add(data, label, image_url=str(photo_id), source='test')
    if op == 'decide':
        name = rng.choice(list(model.label))
        to = rng.choice(['cups', 'plates', None])
        by = rng.choice(['rule', 'key', 'person'])
        return op, (name, to, by), lambda: ds.decide(name, to, by=by)
    if op == 'undo': return op, (), lambda: ds.undo()
    by = tuple(rng.sample(['rule', 'key', 'person'], rng.randint(1, 3)))
    return op, by, lambda: ds.undo(by=by)

@pytest.mark.parametrize('seed', range(25))
def test_random_histories(tmp_path, monkeypatch, seed):
    rng = random.Random(seed)
    model = Model()
    path = tmp_path/'d'
    fate = Fate(monkeypatch, rng)
    crashes = 0
    ds = Dataset.create(path)
    for o in ('cups', 'plates'): (path/o).mkdir()
    for i in range(60):
        op, args, do = random_step(rng, model, ds, i+1000*seed)
        states = model.step(op, *args)
        fate.left = rng.randrange(12) if rng.random() < .4 else None
        try: do()
        except Crash:
            crashes += 1
            fate.left = rng.randrange(6)                                     # And perhaps again while it is opened
            try: Dataset(path)
            except Crash: pass
            fate.left = None
            ds = Dataset(path)
            model = next(m for m in states if m.state() == seen(ds))
        fate.left = None
        assert seen(ds) == model.state()
        if rng.random() < .2: ds = Dataset(path)
        assert seen(ds) == model.state() and set(ds.split()) == {f.name for f in ds.files()}
    assert crashes and all(r['status'] == 'ok' for r in ds.rows)

# ---- ATTRIBUTION.md

KINDS = [('openverse', 'CC BY 4.0', 'https://e.org/1'), ('practice', 'CC0', 'https://e.org/style'), ('bing', '', 'javascript:1'),
    ('flickr', 'CC BY-SA 2.0', 'https://e.org/) [x')]

def credit_of(i):
    "Cells of photo `i`, one of four kinds"
    source, licence, page_url = KINDS[i%4]
    return dict(title=f'A [cup]({i})\n# <b>x', creator='Ann_B*', source=source, licence=licence, page_url=page_url)

def test_attribution_of_many(tmp_path):
    ds = many(tmp_path/'d', 20_000, credit_of)
    gone = [f.name for f in ds.files() if ds.row(f.name)['source'] == 'openverse'][:10]
    for name in gone: ds.decide(name, None)
    t = time.perf_counter()
    text = write_attribution(ds).read_text()
    assert time.perf_counter()-t < 20
    known, drawn, unknown = re.split('## Drawn portraits|## No licence known', text)
    assert [o.count('\n- ') for o in (known, drawn, unknown)] == [9_990, 1, 5_000] and '5000 portraits' in drawn
    assert not any(n in text for n in gone) and '19990 photos' in text
    assert 'javascript' not in text and '<b>' not in text.replace(r'\<b\>', '')
    assert r'](https://e.org/%29%20%5Bx) by Ann\_B\*' in known and known.index('CC BY-SA') < known.index('CC BY 4')
