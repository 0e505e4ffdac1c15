"Labels and photos from folders and lists as people really have them."
import io, os, unicodedata
from pathlib import Path
import pytest
from PIL import Image
from eyewear.core import SourceError
from eyewear.data.folders import match_labels, own_photos

def photo(path, i=0):
    "A small photo of its own colour"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (8, 8), (i % 256, i//256, 9)).save(path, 'PNG')
    return path

def tree(root, *folders, n=2):
    for k, o in enumerate(folders):
        for j in range(n): photo(root/o/f'{j}.png', 10*k+j)
    return root

def labels(source): return {o: sorted(f.image_url for f in photos) for o, photos in own_photos(source).items()}
def counts(source): return {o: len(urls) for o, urls in labels(source).items()}

# -- Folders

@pytest.mark.parametrize('parts', [('train', 'val', 'test'), ('Training', 'VALID', 'Test'), ('train', 'validation', 'testing'), ('train', 'dev'), ('train',)])
def test_parts_are_put_together(tmp_path, capsys, parts):
    tree(tmp_path/'s', *(f'{p}/{o}' for p in parts for o in ('cups', 'plates')))
    assert labels(tmp_path/'s') == {o: sorted(f'{p}/{o}/{j}.png' for p in parts for j in (0, 1)) for o in ('cups', 'plates')}
    assert len(capsys.readouterr().out.splitlines()) == 1

def test_parts_beside_something_else(tmp_path, capsys):
    tree(tmp_path, 'train/cups', 'train/plates', 'test/cups', 'test/plates', 'docs')
    assert counts(tmp_path) == dict(cups=4, plates=4)
    assert capsys.readouterr().out == 'test/, train/: merged, and split anew; docs/ left out\n'

def test_parts_without_labels(tmp_path):
    tree(tmp_path, 'train', 'test')
    with pytest.raises(SourceError, match='test, train hold photos and no labels.*test/cups/1.jpg'): own_photos(tmp_path)

def test_a_train_is_a_label_beside_a_plane(tmp_path):
    tree(tmp_path, 'train', 'plane')
    assert counts(tmp_path) == dict(plane=2, train=2)

def test_photos_of_parts_without_labels_are_counted(tmp_path, capsys):
    tree(tmp_path, 'train/cups', 'train/plates', 'test')
    assert counts(tmp_path) == dict(cups=2, plates=2) and 'test/ left out' in capsys.readouterr().out

@pytest.mark.parametrize('name', ['cups/.ipynb_checkpoints', 'cups/@eaDir', '__MACOSX', '.trash', 'cups/__MACOSX/deep'])
def test_hidden_and_system_folders_never_count(tmp_path, capsys, name):
    tree(tmp_path, 'cups', 'plates', name)
    photo(tmp_path/'cups'/'._1.png')
    assert counts(tmp_path) == dict(cups=2, plates=2) and not capsys.readouterr().out

@pytest.mark.parametrize('around', ['photos', 'photos/photos'])
def test_folders_around_the_labels(tmp_path, capsys, around):
    tree(tmp_path/'s', f'{around}/cups', f'{around}/plates', '__MACOSX/photos')
    assert labels(tmp_path/'s')['cups'] == [f'{around}/cups/{j}.png' for j in (0, 1)]
    assert capsys.readouterr().out == f's/: the labels are the folders in {around}/\n'

def test_a_label_with_folders_in_it_is_no_folder_around(tmp_path):
    tree(tmp_path, 'cups', 'cups/red', 'cups/blue')
    assert list(own_photos(tmp_path)) == ['cups']

def test_photos_without_folders(tmp_path):
    for i in range(3): photo(tmp_path/'s'/f'{i}.png', i)
    with pytest.raises(SourceError, match='3 photos and no folders.*s/cups/1.jpg.*label and file') as e: own_photos(tmp_path/'s')
    assert '\n' not in str(e.value)

def test_photos_beside_the_folders_are_said(tmp_path, capsys):
    photo(tree(tmp_path/'s', 'cups', 'plates')/'loose.png')
    own_photos(tmp_path/'s')
    assert capsys.readouterr().out == "s/: 1 photo(s) left out that are in no label's folder\n"

def test_photos_behind_links(tmp_path):
    tree(tmp_path/'far', 'a', 'b')
    (tmp_path/'s'/'cups').mkdir(parents=True)
    for j in (0, 1): (tmp_path/'s'/'cups'/f'{j}.png').symlink_to(tmp_path/'far'/'a'/f'{j}.png')
    (tmp_path/'s'/'plates').symlink_to(tmp_path/'far'/'b', target_is_directory=True)
    (tmp_path/'s'/'cups'/'loop').symlink_to(tmp_path/'s'/'cups', target_is_directory=True)
    assert counts(tmp_path/'s') == dict(cups=2, plates=2)

def test_links_that_lead_nowhere(tmp_path, capsys):
    tree(tmp_path, 'cups', 'plates')
    (tmp_path/'cups'/'x.png').symlink_to(tmp_path/'gone.png')
    counts(tmp_path)
    assert capsys.readouterr().out == 'cups/: 1 links that lead nowhere\n'
    for f in (tmp_path/'cups').glob('[01].png'): f.unlink()
    with pytest.raises(SourceError, match='no photos for the label cups .1 links that lead nowhere'): counts(tmp_path)

@pytest.mark.parametrize('where', ['', 'train/', 'photos/'])
def test_a_label_that_is_a_link_to_nowhere(tmp_path, where):
    tree(tmp_path, f'{where}cups/red', f'{where}plates/red')
    (tmp_path/where/'bowls').symlink_to(tmp_path/'drive that is not there')
    with pytest.raises(SourceError, match=f'{where}bowls: a link that leads nowhere; is a drive missing'): own_photos(tmp_path)

def test_underscores_are_taken(tmp_path): assert counts(tree(tmp_path, 'cups', '_other')) == dict(_other=2, cups=2)

def test_names_that_only_look_the_same_are_one_label(tmp_path, capsys):
    nfc, nfd = (unicodedata.normalize(o, 'café') for o in ('NFC', 'NFD'))
    tree(tmp_path, nfc, nfd, 'tea')
    assert counts(tmp_path) == {nfc: 4, 'tea': 2} and len(labels(tmp_path)[nfc]) == 4
    assert f'{nfc}: folders whose names look the same' in capsys.readouterr().out

def test_no_photo_with_a_pipe(tmp_path, capsys):
    os.mkfifo(tree(tmp_path, 'cups', 'plates')/'cups'/'p.png')
    assert counts(tmp_path)['cups'] == 2 and '1 files left out' in capsys.readouterr().out

@pytest.mark.parametrize('where', ['', 'cups'])
def test_what_eyewear_made_is_no_source(tmp_path, monkeypatch, where):
    work = tree(tmp_path, 'cups', 'plates')/where/'work'
    tree(work, 'mine-123/cups')
    (work/'mine-123'/'.download.json').write_text('{"source": "x", "name": "x", "labels": []}', encoding='utf-8')
    (work/'runs'/'2026-01-01_10-00-00').mkdir(parents=True)
    assert counts(tmp_path) == dict(cups=2, plates=2)
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path/'plates'))
    assert list(own_photos(tmp_path)) == ['cups']

def test_a_dataset_of_ours_is_no_source(tmp_path):
    tree(tmp_path, 'cups', 'plates')
    (tmp_path/'.download.json').write_text('{"source": "/far/photos", "name": "x", "labels": []}', encoding='utf-8')
    with pytest.raises(SourceError, match='a dataset that eyewear made from /far/photos'): own_photos(tmp_path)

def test_the_order_has_nothing_to_do_with_names(tmp_path):
    found = list(own_photos(tree(tmp_path, 'cups', 'plates', n=20))['cups'])
    assert [o.image_url for o in found] != sorted(o.image_url for o in found)
    assert [o.image_url for o in found] == [o.image_url for o in own_photos(tmp_path)['cups']]

def test_names_that_are_no_text(tmp_path):
    tree(tmp_path, 'cups', 'plates')
    for name in (b'caf\xe9.png', b'two\nlines.png'):
        with open(os.fsencode(tmp_path/'cups')+b'/'+name, 'wb') as f: f.write((tmp_path/'cups'/'0.png').read_bytes())
    found = {o.address: o for o in own_photos(tmp_path)['cups']}
    assert {'cups/caf\\xe9.png', 'cups/two\\nlines.png'} <= found.keys() and found['cups/caf\\xe9.png'].load() == (tmp_path/'cups'/'0.png').read_bytes()

# -- Labels

@pytest.mark.parametrize('asked, want', [
    (['cats', 'dogs', 'birds'], ['cats, dogs', 'birds']), (['cats, dogs', 'birds'], ['cats, dogs', 'birds']), (['cats,dogs', 'x'], ['cats, dogs', 'x']),
    (['birds', 'birds'], ['birds']), (['dogs', 'cats'], ['dogs', 'cats'])])
def test_labels_with_a_comma(asked, want): assert match_labels(asked, ['cats, dogs', 'birds']) == want

# -- Lists

def listed(path, text, encoding='utf-8'):
    path.write_bytes(text.encode(encoding))
    return {o: [(f.image_url, f.path) for f in photos] for o, photos in own_photos(path).items()}

@pytest.mark.parametrize('name', ['m.csv', 'M.CSV', 'm.tsv'])
@pytest.mark.parametrize('head', ['label,url', 'Label, URL', 'LABEL;File', 'label\tfile_name', 'label,filename', 'label,Path', 'label,image', 'label,Image URL'])
def test_lists_of_all_kinds(tmp_path, name, head):
    sep = next(o for o in ';\t,' if o in head)
    photo(tmp_path/'cups'/'1.png')
    want = {'cups': [('cups/1.png', tmp_path/'cups'/'1.png')], 'plates': [('https://a.org/1.jpg', None)]}
    lines = [head, sep.join(['cups', 'cups/1.png']), sep.join(['plates', 'https://a.org/1.jpg'])]
    for encoding, end in (('utf-8-sig', '\n'), ('utf-8', '\r\n'), ('utf-16', '\r\n')): assert listed(tmp_path/name, end.join(lines), encoding) == want

@pytest.mark.parametrize('text, says', [
    ('label,url\ncups,a.jpg\n,b.jpg\n', 'line 3: the label is empty'), ('label,url\ncups,a.jpg\n../../victim,b.jpg\n', "line 3: the label '../../victim' has a character"),
    ('label,url\n.cups,a.jpg\n', 'hidden'), ('label,url\ncups,\n', 'line 2: no url'), ('url,name\na,b\n', 'no column label'), ('label,size\na,b\n', 'no column url, file'),
    ('label,url\n', 'a line for each photo')])
def test_lists_that_cannot_be_right(tmp_path, text, says):
    with pytest.raises(SourceError, match=says) as e: listed(tmp_path/'m.csv', text)
    assert '\n' not in str(e.value) and 'm.csv' in str(e.value)

def test_labels_in_a_list_in_either_form(tmp_path):
    text = 'label,url\n'+''.join(f'{unicodedata.normalize(o, "café")} ,{o}.jpg\n' for o in ('NFC', 'NFD'))
    assert list(listed(tmp_path/'m.csv', text)) == [unicodedata.normalize('NFC', 'café')]

@pytest.mark.parametrize('below', ['', 'images/'])
def test_metadata_of_hugging_face(tmp_path, below):
    for i in range(2): photo(tmp_path/f'{below}{i}.png', i)
    (tmp_path/'metadata.csv').write_text(f'file_name,label\n{below}0.png,cups\n{below}1.png,plates\n', encoding='utf-8')
    assert labels(tmp_path) == dict(cups=[f'{below}0.png'], plates=[f'{below}1.png'])

def test_a_metadata_file_beside_folders_changes_nothing(tmp_path):
    (tree(tmp_path, 'cups', 'plates')/'metadata.csv').write_text('file_name,label\nx.png,y\n', encoding='utf-8')
    assert list(own_photos(tmp_path)) == ['cups', 'plates']

@pytest.mark.parametrize('source', ['no such folder', '~nobody_of_this_name/x', __file__, 'x'*5000])
def test_neither_folder_nor_list(source):
    with pytest.raises(SourceError, match='neither a folder nor one of auto, bing') as e: own_photos(source, ('bing',))
    assert '\n' not in str(e.value)
