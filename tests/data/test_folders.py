"Folders and lists as people really have them, and the labels and photos in them."
import os, subprocess, sys, unicodedata
from pathlib import Path
import pytest
from PIL import Image
from eyewear.core import SourceError
from eyewear.data.folders import is_list, is_ours, listed_path, match_labels, own_photos, read_list

def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path

def photo(path, i=0):
    "A small photo of its own colour"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (8, 8), (i % 256, i//256, 9)).save(path, 'PNG')
    return path

def tree(root, *folders, n=2):
    "Folders below `root` with `n` photos each"
    for k, folder in enumerate(folders):
        for j in range(n): photo(root/folder/f'{j}.png', 10*k+j)
    return root

def mark_as_dataset(path, source='x'):
    touch(path/'.download.json').write_text(f'{{"source": "{source}", "name": "x", "labels": []}}', encoding='utf-8')

def rows(path): return [row for _, row in read_list(path)]
def labels(source): return {o: sorted(f.image_url for f in photos) for o, photos in own_photos(source).items()}
def counts(source): return {o: len(urls) for o, urls in labels(source).items()}

def refused(source, says, *args):
    "`own_photos` refuses `source` in one line that has `says` in it"
    with pytest.raises(SourceError, match=says) as e: own_photos(source, *args)
    assert '\n' not in str(e.value)
    return str(e.value)

def in_python(code, *args, **env):
    "What another process says to `code`"
    cmd = [sys.executable, '-c', 'import sys; from eyewear.data.folders import *; '+code, *map(str, args)]
    return subprocess.run(cmd, env={**os.environ, **env}, capture_output=True, text=True, timeout=60)

# -- What eyewear made

def test_what_eyewear_made(tmp_path, monkeypatch):
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path/'cache'))
    run = tmp_path/'work'/'runs'/'2026-01-01_10-00-00'
    for o in (tmp_path/'work'/'mine-123'/'.download.json', run/'summary.json', tmp_path/'cache'/'x'): touch(o)
    for o in ('work', 'work/mine-123', 'work/runs', run, 'cache'): assert is_ours(tmp_path/o)
    touch(tmp_path/'work'/'current.txt')
    assert is_ours(tmp_path/'work')
    assert not is_ours(touch(tmp_path/'cups'/'a.jpg').parent)
    for o in ('mine/ds/.download.json', 'mine/cups/a.jpg'): touch(tmp_path/o)  # Photos beside a dataset are yours
    for o in ('mine', 'mine/cups', 'nowhere'): assert not is_ours(tmp_path/o)

@pytest.mark.parametrize('where', ['', 'cups'])
def test_what_eyewear_made_is_no_source(tmp_path, monkeypatch, where):
    work = tree(tmp_path, 'cups', 'plates')/where/'work'
    tree(work, 'mine-123/cups')
    mark_as_dataset(work/'mine-123')
    (work/'runs'/'2026-01-01_10-00-00').mkdir(parents=True)
    assert counts(tmp_path) == dict(cups=2, plates=2)
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path/'plates'))
    assert list(own_photos(tmp_path)) == ['cups']

def test_a_dataset_of_ours_is_no_source(tmp_path):
    mark_as_dataset(tree(tmp_path, 'cups', 'plates'), '/far/photos')
    refused(tmp_path, 'a dataset that eyewear made from /far/photos')

# -- A folder with a folder for each label

PARTS = ('train', 'val', 'test'), ('Training', 'VALID', 'Test'), ('train', 'validation', 'testing'), ('train', 'dev'), ('train',)

@pytest.mark.parametrize('parts', PARTS)
def test_parts_are_put_together(tmp_path, capsys, parts):
    tree(tmp_path/'s', *(f'{p}/{o}' for p in parts for o in ('cups', 'plates')))
    for label, urls in labels(tmp_path/'s').items():
        assert urls == sorted(f'{p}/{label}/{j}.png' for p in parts for j in (0, 1))
    assert len(capsys.readouterr().out.splitlines()) == 1

@pytest.mark.parametrize('folders, found, says', [
    ('train/cups train/plates test/cups test/plates docs', dict(cups=4, plates=4),
     'test/, train/: merged, and split anew; docs/ left out\n'),
    ('train/cups train/plates test', dict(cups=2, plates=2), 'train/: merged, and split anew; test/ left out\n'),
    ('train plane', dict(plane=2, train=2), ''),
    ('cups _other', dict(_other=2, cups=2), ''),
    ('cups cups/red cups/blue', dict(cups=6), '')])
def test_which_folders_are_labels(tmp_path, capsys, folders, found, says):
    assert counts(tree(tmp_path, *folders.split())) == found
    assert capsys.readouterr().out == says

def test_parts_without_labels(tmp_path):
    refused(tree(tmp_path, 'train', 'test'), 'test, train hold photos and no labels.*test/cups/1.jpg')

@pytest.mark.parametrize('name', 'cups/.ipynb_checkpoints cups/@eaDir __MACOSX .trash $RECYCLE.BIN cups/__MACOSX/x'.split())
def test_hidden_and_system_folders_never_count(tmp_path, capsys, name):
    tree(tmp_path, 'cups', 'plates', name)
    photo(tmp_path/'cups'/'._1.png')
    assert counts(tmp_path) == dict(cups=2, plates=2)
    assert not capsys.readouterr().out

@pytest.mark.parametrize('around', ['photos', 'photos/photos'])
def test_folders_around_the_labels(tmp_path, capsys, around):
    tree(tmp_path/'s', f'{around}/cups', f'{around}/plates', '__MACOSX/photos')
    assert labels(tmp_path/'s')['cups'] == [f'{around}/cups/{j}.png' for j in (0, 1)]
    assert capsys.readouterr().out == f's/: the labels are the folders in {around}/\n'

def test_photos_without_folders(tmp_path):
    for i in range(3): photo(tmp_path/'s'/f'{i}.png', i)
    refused(tmp_path/'s', '3 photos and no folders.*s/cups/1.jpg.*label and file')

def test_photos_beside_the_folders_are_said(tmp_path, capsys):
    photo(tree(tmp_path/'s', 'cups', 'plates')/'loose.png')
    own_photos(tmp_path/'s')
    assert capsys.readouterr().out == "s/: 1 photo(s) left out that are in no label's folder\n"

def test_no_photo_with_a_pipe(tmp_path, capsys):
    os.mkfifo(tree(tmp_path, 'cups', 'plates')/'cups'/'p.png')
    assert counts(tmp_path)['cups'] == 2
    assert '1 files left out' in capsys.readouterr().out

def test_the_order_has_nothing_to_do_with_names(tmp_path):
    found = [o.image_url for o in own_photos(tree(tmp_path, 'cups', 'plates', n=20))['cups']]
    assert found != sorted(found)
    assert found == [o.image_url for o in own_photos(tmp_path)['cups']]

def test_photos_behind_links(tmp_path):
    tree(tmp_path/'far', 'a', 'b', 'c')
    cups = tmp_path/'s'/'cups'
    cups.mkdir(parents=True)
    for j in (0, 1): (cups/f'{j}.png').symlink_to(tmp_path/'far'/'a'/f'{j}.png')
    (tmp_path/'s'/'plates').symlink_to(tmp_path/'far'/'b', target_is_directory=True)
    (cups/'disk').symlink_to(tmp_path/'far'/'c', target_is_directory=True)
    for o in (cups, tmp_path/'far'/'c'): (o/'loop').symlink_to(cups, target_is_directory=True)
    assert counts(tmp_path/'s') == dict(cups=4, plates=2)

def test_links_that_lead_nowhere(tmp_path, capsys):
    cups = tree(tmp_path, 'cups', 'plates')/'cups'
    (cups/'x.png').symlink_to(tmp_path/'gone.png')
    counts(tmp_path)
    assert capsys.readouterr().out == 'cups/: 1 links that lead nowhere\n'
    for f in cups.glob('[01].png'): f.unlink()
    with pytest.raises(SourceError, match='no photos for the label cups .1 links that lead nowhere'): counts(tmp_path)

@pytest.mark.parametrize('where', ['', 'train/', 'photos/'])
def test_a_label_that_is_a_link_to_nowhere(tmp_path, where):
    tree(tmp_path, f'{where}cups/red', f'{where}plates/red')
    (tmp_path/where/'bowls').symlink_to(tmp_path/'drive that is not there')
    refused(tmp_path, f'{where}bowls: a link that leads nowhere; is a drive missing')

# -- Labels

ACCENTS = [unicodedata.normalize(o, 'café') for o in ('NFC', 'NFD')]

def test_names_that_only_look_the_same_are_one_label(tmp_path, capsys):
    tree(tmp_path, *ACCENTS, 'tea')
    assert counts(tmp_path) == {ACCENTS[0]: 4, 'tea': 2}
    assert f'{ACCENTS[0]}: folders whose names look the same' in capsys.readouterr().out

@pytest.mark.parametrize('asked, want', [
    (['cats, dogs', 'birds'], ['cats, dogs', 'birds']),
    (['cats,dogs', 'x'], ['cats, dogs', 'x']),
    (['birds', 'birds'], ['birds']),
    (['dogs', 'cats'], ['dogs', 'cats'])])
def test_labels_with_a_comma(asked, want): assert match_labels(asked, ['cats, dogs', 'birds']) == want

# -- Lists

def test_lines_have_their_numbers(tmp_path):
    (tmp_path/'m.csv').write_text('url\n\na.jpg\n""\n"b\nc.jpg"\n', encoding='utf-8')
    assert [(n, o['url']) for n, o in read_list(tmp_path/'m.csv')] == [(3, 'a.jpg'), (6, 'b\nc.jpg')]

@pytest.mark.parametrize('data, says', [
    (b'', 'm.csv: empty'),
    (b',,\n1,2,3\n', 'm.csv: empty'),
    (b'url,Label,URL\n1,2,3\n', 'two columns are called url'),
    (b'url\ncaf\xe9.jpg\n', 'cannot be read as UTF-8'),
    (b'url\n'+b'x'*200_000+b'\n', 'field larger'),
    (b'url,title\na.jpg,"a\nb.jpg,b\nc.jpg,c\n', 'm.csv, line 2: cannot be read .* quotes'), # A quote that is never closed
    (b'url,title\na.jpg,"a\nb.jpg,"b"\nc.jpg,c\n', 'm.csv, line 2: cannot be read .* quotes')])
def test_a_list_that_cannot_be_read(tmp_path, data, says):
    (tmp_path/'m.csv').write_bytes(data)
    with pytest.raises(SourceError, match=says) as e: rows(tmp_path/'m.csv')
    assert '\n' not in str(e.value)

def test_quotes_within_a_cell(tmp_path):
    text = 'url, title\na.jpg, "a ""b"" c"\n5" disc.jpg, the 5" disc\n"c.jpg", "c, ""d"""'
    (tmp_path/'m.csv').write_text(text, encoding='utf-8')
    values = [list(o.values()) for o in rows(tmp_path/'m.csv')]
    assert values == [['a.jpg', 'a "b" c'], ['5" disc.jpg', 'the 5" disc'], ['c.jpg', 'c, "d"']]

@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='Windows has no pipes that are files')
def test_a_pipe_is_no_list(tmp_path):
    os.mkfifo(tmp_path/'m.csv')
    res = in_python('list(read_list(sys.argv[1]))', tmp_path/'m.csv')
    assert 'SourceError' in res.stderr and 'm.csv: no file' in res.stderr

def test_what_is_called_a_list(tmp_path):
    (tmp_path/'photos.csv').mkdir()
    for o in ('a.csv', 'A.CSV', Path('a.tsv')): assert is_list(o)
    for o in ('a.txt', tmp_path/'photos.csv'): assert not is_list(o)

def test_names_are_seen_from_the_list_then_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for o in ('both.jpg', 'far/both.jpg', 'here.jpg'): touch(tmp_path/o)
    far = tmp_path/'far'
    def seen(name): return listed_path(far/'m.csv', name)
    assert [seen(o) for o in ('both.jpg', 'here.jpg', 'no.jpg')] == [far/'both.jpg', Path('here.jpg'), far/'no.jpg']
    assert seen(str(tmp_path/'here.jpg')) == tmp_path/'here.jpg'
    assert seen('HTTPS://a.org/1.jpg') == 'HTTPS://a.org/1.jpg'
    assert seen('x'*5000) == far/('x'*5000)

def test_a_list_under_an_ascii_locale(tmp_path):
    touch(tmp_path/'写真.jpg')
    (tmp_path/'m.csv').write_text('file\n写真.jpg\n', encoding='utf-8')
    code = 'print([listed_path(sys.argv[1], o["file"]).is_file() for _, o in read_list(sys.argv[1])])'
    res = in_python(code, tmp_path/'m.csv', PYTHONCOERCECLOCALE='0', PYTHONUTF8='0', LC_ALL='C')
    assert res.stdout == '[True]\n', res.stderr

# -- Photos in a list

def listed(path, text, encoding='utf-8'):
    path.write_bytes(text.encode(encoding))
    return {o: [(f.image_url, f.path) for f in photos] for o, photos in own_photos(path).items()}

HEADS = ('label,url', '"label","url"', 'Label, URL', 'LABEL;File', 'label\tfile_name', 'label,filename', 'label,Path',
    'label,image', 'label,PHOTO', 'label,Image URL')

@pytest.mark.parametrize('name', ['m.csv', 'M.CSV', 'm.tsv'])
@pytest.mark.parametrize('head', HEADS)
def test_lists_of_all_kinds(tmp_path, name, head):
    sep = next(o for o in ';\t,' if o in head)
    photo(tmp_path/'cups'/'1.png')
    want = {'cups': [('cups/1.png', tmp_path/'cups'/'1.png')], 'plates': [('https://a.org/1.jpg', None)]}
    lines = [head, sep.join(['cups', 'cups/1.png']), sep.join(['plates', 'https://a.org/1.jpg'])]
    for encoding, end in (('utf-8-sig', '\n'), ('utf-8', '\r\n'), ('utf-16', '\r\n')):
        assert listed(tmp_path/name, end.join(lines), encoding) == want

@pytest.mark.parametrize('text, says', [
    ('\x00\x01', 'a line for each photo'),
    ('label,url\ncups,a.jpg\n../../victim,b.jpg\n', "line 3: the label '../../victim' has a character"),
    ('label,url\n.cups,a.jpg\n', 'hidden'),
    ('label,url\ncups,\n', 'line 2: no url'),
    ('url,name\na,b\n', 'no column label'),
    ('label,size\na,b\n', 'no column url, file'),
    ('label,url\n', 'a line for each photo')])
def test_lists_that_cannot_be_right(tmp_path, text, says):
    (tmp_path/'m.csv').write_text(text, encoding='utf-8')
    assert 'm.csv' in refused(tmp_path/'m.csv', says)

def test_labels_in_a_list_in_either_form(tmp_path):
    lines = [f'{label} ,{i}.jpg\n' for i, label in enumerate(ACCENTS)]
    assert list(listed(tmp_path/'m.csv', 'label,url\n'+''.join(lines))) == ACCENTS[:1]

@pytest.mark.parametrize('folder', ['', 'images/'])
def test_metadata_of_hugging_face(tmp_path, folder):
    for i in range(2): photo(tmp_path/f'{folder}{i}.png', i)
    text = f'file_name,label\n{folder}0.png,cups\n{folder}1.png,plates\n'
    (tmp_path/'metadata.csv').write_text(text, encoding='utf-8')
    assert labels(tmp_path) == dict(cups=[f'{folder}0.png'], plates=[f'{folder}1.png'])

def test_a_metadata_file_beside_folders_changes_nothing(tmp_path):
    (tree(tmp_path, 'cups', 'plates')/'metadata.csv').write_text('file_name,label\nx.png,y\n', encoding='utf-8')
    assert list(own_photos(tmp_path)) == ['cups', 'plates']

@pytest.mark.parametrize('source', ['no such folder', '~nobody_of_this_name/x', __file__, 'x'*5000])
def test_neither_folder_nor_list(source): refused(source, 'neither a folder nor one of bing', ('bing',))
