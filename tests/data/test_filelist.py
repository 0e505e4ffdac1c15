"Folders and lists as people really have them."
import os, subprocess, sys
from pathlib import Path
import pytest
from eyewear.core import SourceError
from eyewear.data.folders import beside, files_below, is_list, is_ours, photo_column, read_list

def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path

def below(path): return [o.relative_to(path).as_posix() for o in files_below(path)]
def rows(path): return [row for _, row in read_list(path)]

# -- Folders

@pytest.mark.parametrize('name', ['.hidden/a.jpg', 'x/.ipynb_checkpoints/a.jpg', '__MACOSX/a.jpg', 'x/@eaDir/a.jpg', 'x/._a.jpg', 'x/Thumbs.db', '$RECYCLE.BIN/a.jpg'])
def test_hidden_and_system_files_are_passed_over(tmp_path, name):
    touch(tmp_path/name), touch(tmp_path/'x'/'b.jpg')
    assert below(tmp_path) == ['x/b.jpg']

def test_links_are_followed_and_end(tmp_path):
    touch(tmp_path/'far'/'a.jpg')
    (tmp_path/'here').mkdir()
    (tmp_path/'here'/'disk').symlink_to(tmp_path/'far', target_is_directory=True)
    (tmp_path/'far'/'loop').symlink_to(tmp_path/'here', target_is_directory=True)
    (tmp_path/'here'/'b.jpg').symlink_to(tmp_path/'far'/'a.jpg')
    assert below(tmp_path/'here') == ['b.jpg', 'disk/a.jpg']

def test_a_name_that_is_no_text(tmp_path):
    with open(os.fsencode(tmp_path)+b'/caf\xe9.jpg', 'wb'): pass
    assert [os.fsencode(o.name) for o in files_below(tmp_path)] == [b'caf\xe9.jpg']

def test_what_eyewear_made(tmp_path, monkeypatch):
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path/'cache'))
    touch(tmp_path/'work'/'mine-123'/'.download.json'), touch(tmp_path/'work'/'runs'/'2026-01-01_10-00-00'/'summary.json'), touch(tmp_path/'cache'/'x')
    ours = 'work', 'work/mine-123', 'work/runs', 'work/runs/2026-01-01_10-00-00', 'cache'
    assert all(is_ours(tmp_path/o) for o in ours)
    touch(tmp_path/'work'/'current.txt')
    assert is_ours(tmp_path/'work') and not is_ours(touch(tmp_path/'cups'/'a.jpg').parent)

def test_a_label_that_eyewear_was_started_in(tmp_path):
    touch(tmp_path/'cups'/'a.jpg'), touch(tmp_path/'cups'/'work'/'mine-123'/'.download.json'), touch(tmp_path/'cups'/'work'/'mine-123'/'b.jpg')
    assert not is_ours(tmp_path/'cups')
    assert [o.name for o in files_below(tmp_path/'cups', is_ours)] == ['a.jpg'] and len([*files_below(tmp_path/'cups')]) == 2

def test_photos_beside_a_dataset_are_nobodys_but_yours(tmp_path):
    touch(tmp_path/'mine'/'ds'/'.download.json'), touch(tmp_path/'mine'/'cups'/'a.jpg')
    assert not is_ours(tmp_path/'mine') and not is_ours(tmp_path/'mine'/'cups') and not is_ours(tmp_path/'nowhere')

# -- Lists

@pytest.mark.parametrize('text', ['label,url\ncups,a.jpg\n', 'Label, URL\ncups, a.jpg\n', 'LABEL;Url\r\ncups;a.jpg\r\n', 'label\turl\ncups\ta.jpg', '"label","url"\n"cups","a.jpg"\n'])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_a_list_of_any_kind(tmp_path, text, encoding):
    (tmp_path/'m.csv').write_bytes(text.encode(encoding))
    assert rows(tmp_path/'m.csv') == [dict(label='cups', url='a.jpg')]

def test_lines_have_their_numbers(tmp_path):
    (tmp_path/'m.csv').write_text('url\n\na.jpg\n""\n"b\nc.jpg"\n', encoding='utf-8')
    assert [(n, o['url']) for n, o in read_list(tmp_path/'m.csv')] == [(3, 'a.jpg'), (6, 'b\nc.jpg')]

@pytest.mark.parametrize('data, says', [
    (b'', 'empty'), (b',,\n1,2,3\n', 'empty'), (b'url,Label,URL\n1,2,3\n', 'two columns are called url'), (b'url\ncaf\xe9.jpg\n', 'cannot be read as UTF-8'),
    (b'label,url\ncups,http://a.org/1,2.jpg\n', 'm.csv, line 2: more values'), (b'url\n'+b'x'*200_000+b'\n', 'field larger')])
def test_a_list_that_cannot_be_read(tmp_path, data, says):
    (tmp_path/'m.csv').write_bytes(data)
    with pytest.raises(SourceError, match=says) as e: rows(tmp_path/'m.csv')
    assert '\n' not in str(e.value)

@pytest.mark.parametrize('text', ['url,title\na.jpg,"a\nb.jpg,b\nc.jpg,c\n', 'url,title\na.jpg,"a\nb.jpg,"b"\nc.jpg,c\n'])
def test_a_quote_that_is_never_closed(tmp_path, text):
    (tmp_path/'m.csv').write_text(text, encoding='utf-8')
    with pytest.raises(SourceError, match='m.csv, line 2: cannot be read .* quotes') as e: rows(tmp_path/'m.csv')
    assert '\n' not in str(e.value)

def test_quotes_within_a_cell(tmp_path):
    (tmp_path/'m.csv').write_text('url, title\na.jpg, "a ""b"" c"\n5" disc.jpg, the 5" disc\n"c.jpg", "c, ""d"""', encoding='utf-8')
    assert [list(o.values()) for o in rows(tmp_path/'m.csv')] == [['a.jpg', 'a "b" c'], ['5" disc.jpg', 'the 5" disc'], ['c.jpg', 'c, "d"']]

def test_no_list_there(tmp_path):
    with pytest.raises(SourceError, match='m.csv: cannot be read'): rows(tmp_path/'m.csv')

@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='Windows has no pipes that are files')
def test_a_pipe_is_no_list(tmp_path):
    os.mkfifo(tmp_path/'m.csv')
    code = 'import sys; from eyewear.data.folders import read_list; list(read_list(sys.argv[1]))'
    res = subprocess.run([sys.executable, '-c', code, tmp_path/'m.csv'], capture_output=True, text=True, timeout=30)
    assert 'SourceError' in res.stderr and 'm.csv: no file' in res.stderr

def test_what_is_called_a_list(tmp_path):
    (tmp_path/'photos.csv').mkdir()
    assert is_list('a.csv') and is_list('A.CSV') and is_list(Path('a.tsv')) and not is_list('a.txt') and not is_list(tmp_path/'photos.csv')

@pytest.mark.parametrize('name', 'url file file_name filename path image photo image_url'.split())
def test_columns_that_name_photos(name): assert photo_column(['label', name.upper().replace('_', ' ')]) == name.upper().replace('_', ' ')

def test_no_such_column():
    with pytest.raises(SourceError, match='m.csv: no column picture in its first line, which has label, url'): photo_column(['label', 'url'], 'picture', 'm.csv')

def test_names_are_seen_from_the_list_then_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path/'both.jpg'), touch(tmp_path/'far'/'both.jpg'), touch(tmp_path/'here.jpg')
    far = tmp_path/'far'/'m.csv'
    assert [beside(far, o) for o in ('both.jpg', 'here.jpg', 'no.jpg')] == [tmp_path/'far'/'both.jpg', Path('here.jpg'), tmp_path/'far'/'no.jpg']
    assert beside(far, str(tmp_path/'here.jpg')) == tmp_path/'here.jpg' and beside(far, 'HTTPS://a.org/1.jpg') == 'HTTPS://a.org/1.jpg'
    assert beside(far, 'x'*5000) == tmp_path/'far'/('x'*5000)

def test_a_list_under_an_ascii_locale(tmp_path):
    touch(tmp_path/'写真.jpg')
    (tmp_path/'m.csv').write_text('file\n写真.jpg\n', encoding='utf-8')
    code = 'import sys; from eyewear.data.folders import *; print([beside(sys.argv[1], o["file"]).is_file() for _, o in read_list(sys.argv[1])])'
    env = {**os.environ, 'PYTHONCOERCECLOCALE': '0', 'PYTHONUTF8': '0', 'LC_ALL': 'C'}
    res = subprocess.run([sys.executable, '-c', code, tmp_path/'m.csv'], env=env, capture_output=True, text=True)
    assert res.stdout == '[True]\n', res.stderr
