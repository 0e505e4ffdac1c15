"The page in a real browser: served, opened, fed with photos and with what is none."
import csv, os, re, subprocess, sys
from contextlib import suppress
from types import SimpleNamespace
import ipywidgets, pytest
from eyewear.app import classifier_app
from eyewear.data.dataset import Dataset
from eyewear.page.launch import page_notebook
from eyewear.page.widgets import Arrival
from eyewear.predict import ModelError, page_title
from badphotos import BAD, noise, picture
from browsing import Visitor, choose, serving
from conftest import axe, comes_true
from tinymodel import tiny_model

CHOOSE = re.compile('Drop photos here|Choose photos')
QUESTION = 'Is the person wearing glasses/sunglasses or a VR headset?'
GREEN = picture('PNG', (640,480), 'lime')
RED = picture('JPEG', (300,600), 'red')
BLUE = picture('WEBP', (600,300), 'blue')
WHITE = picture('PNG', (64,64), 'white')

@pytest.fixture(scope='module')
def place(tmp_path_factory): return tmp_path_factory.mktemp('app')

@pytest.fixture(scope='module')
def model(place): return tiny_model(place/'eyewear.onnx')

@pytest.fixture(scope='module')
def url(model, place):
    with serving(page_notebook(), model, EYEWEAR_HOME=str(place)) as s: yield s.url

class Asker(Visitor):
    "Somebody who asks the page about photos"
    def __init__(self, browser, url, **context):
        super().__init__(browser, **context)
        self.page.goto(url)
        for name in ('Classify', CHOOSE): self.button(name).wait_for(timeout=90_000)

    @property
    def text(self): return self.page.locator('body').inner_text()
    @property
    def answer(self): return self.page.locator('.ea-answer')
    def choose(self, *files): choose(self.page, self.button(CHOOSE), *files)

    def ask(self, name, data, says):
        "Choose a photo and read the answer, once it is about this one and begins with `says`"
        self.choose((name, data))
        self.page.locator('.ea-result > img').and_(self.page.get_by_alt_text(name, exact=True)).wait_for()
        self.answer.filter(has_text=re.compile('^'+re.escape(says))).wait_for()
        return self.answer.inner_text()

    def says(self, text):
        "The sentence above the photo, once it begins with `text`"
        found = self.page.locator('.ea [role=status]').filter(has_text=re.compile('^'+re.escape(text))).first
        found.wait_for()
        return found.inner_text()

    def rows(self): return [' '.join(o.split()) for o in self.page.locator('.ea-table tbody tr').all_inner_texts()]
    def bars(self):
        cells = [self.page.locator(f'.ea-bars {o}').all_inner_texts() for o in ('th','td:last-child')]
        return dict(zip(*cells))

@pytest.fixture(scope='module')
def visitor(browser, url): return Asker(browser, url)

@pytest.fixture(autouse=True)
def nothing_that_only_the_owner_should_see(request, place):
    "Whatever a test did to the page: no traceback, no path of the server, no script of a visitor's"
    yield
    if 'visitor' not in request.fixturenames: return
    v = request.getfixturevalue('visitor')
    assert not re.search(r'Traceback|Error\b|\.py\b|'+re.escape(str(place)), v.text)
    assert v.page.title() == 'Photo classifier'

# -- The page

def test_title_question_and_widgets_are_there(visitor):
    assert visitor.page.get_by_role('heading', name='Glasses, sunglasses, VR or none?').is_visible()
    assert visitor.page.get_by_text(QUESTION).is_visible() and visitor.page.get_by_text('never stored').is_visible()
    assert 'import' not in visitor.text and 'classifier_app' not in visitor.text
    assert not visitor.button('Show where it looked').is_visible() and not visitor.answer.count() and not visitor.rows()

def test_photo_is_classified_when_it_comes_and_again_by_the_button(visitor):
    assert visitor.ask('green.png', GREEN, 'Prediction: sunglasses') == 'Prediction: sunglasses; Probability: 1.0000'
    assert visitor.bars()['sunglasses'] == '100.0 %' and len(visitor.bars()) == 4
    assert 'There is no photo' not in visitor.text and 'wrong' not in visitor.text      # no correction is asked for where none is kept
    visitor.button('Classify').click()
    visitor.answer.filter(has_text='sunglasses').wait_for()

def test_earlier_results_are_kept_below_and_can_be_downloaded(browser, url):
    with Asker(browser, url) as v:
        v.ask('red.jpg', RED, 'Prediction: glasses; ')
        assert not v.rows()
        v.ask('blue.webp', BLUE, 'Prediction: VR; ')
        v.page.get_by_role('heading', name='This visit').wait_for()
        assert v.rows() == ['blue.webp VR 1.0000', 'red.jpg glasses 1.0000']
        with v.page.expect_download() as d: v.page.get_by_role('link', name='Download as CSV').click()
        with open(d.value.path(), newline='') as f: _, *rows = csv.reader(f)
    assert d.value.suggested_filename == 'answers.csv'
    assert [o[:3] for o in rows] == [['red.jpg','glasses','1.0000'], ['blue.webp','VR','1.0000']]

def test_many_at_once_are_a_table(browser, url):
    with Asker(browser, url) as v:
        v.choose(('red.jpg', RED), ('letter.jpg', b'Dear Sir'), ('blue.webp', BLUE))
        assert v.says('3 photos') == '3 photos: 2 with an answer, 1 without. See the table.'
        assert [o.split()[0] for o in v.rows()] == ['blue.webp', 'letter.jpg', 'red.jpg'] and 'not a photo' in v.rows()[1]
        assert not v.answer.count()
        v.ask('white.png', WHITE, 'Prediction: none; ')

@pytest.mark.parametrize('name', BAD)
def test_bad_file_is_a_sentence_and_the_page_goes_on(visitor, name):
    visitor.ask('red.jpg', RED, 'Prediction: glasses; ')
    visitor.choose((name, BAD[name]))
    assert visitor.says(name+': ').endswith('. Please choose another photo.') and not visitor.answer.count()
    visitor.ask('white.png', WHITE, 'Prediction: none; ')

def test_spotlight_can_be_switched(visitor):
    visitor.ask('green.png', GREEN, 'Prediction: sunglasses')
    bright = 'document.querySelector(".ea-result > img").src == window.bright'
    visitor.page.evaluate('window.bright = document.querySelector(".ea-result > img").src')
    visitor.button('Show where it looked').click()
    comes_true(visitor.page, f'!({bright})')
    assert visitor.page.get_by_text('Lit: what on the photo speaks for sunglasses.').is_visible()
    visitor.button('Show where it looked').click()
    comes_true(visitor.page, bright)

def test_example_is_classified_with_one_click(visitor):
    visitor.button('Drawn portrait: VR').click()
    visitor.page.locator('.ea-result > img').and_(visitor.page.get_by_alt_text('VR.jpg')).wait_for()
    assert visitor.answer.inner_text().startswith('Prediction: ')

@pytest.mark.parametrize('width,scheme', [(1100,'light'), (1100,'dark'), (360,'light')])
def test_page_fits_and_reads_well(browser, url, width, scheme):
    with Asker(browser, url, width=width, color_scheme=scheme) as v:
        assert v.fits()
        v.ask('a_photo_with_a_long_name_'+'x'*80+'.jpg', RED, 'Prediction: ')
        v.choose(('red.jpg', RED), ('letter.jpg', b'Dear Sir'))
        v.says('2 photos')
        v.ask('white.png', WHITE, 'Prediction: none; ')
        assert axe(v.page) == []
        assert v.fits() and v.page.locator('.ea').bounding_box()['width'] <= 724

def test_other_labels_ask_their_own_question(browser, place):
    q = 'Which is it: cups or <b>plates</b>?'
    model = tiny_model(place/'cups.onnx', ('cups','&lt;b&gt;plates'), q, unknown=True, UNKNOWN_THRESHOLD='0.3', SOURCE='bing')
    env = dict(EYEWEAR_HOME=str(place), EYEWEAR_CORRECTIONS=str(place/'corrections'))
    with serving(page_notebook(), model, dict(pool=0), **env) as s, Asker(browser, s.url) as v:
        assert v.page.get_by_text(q).is_visible() and v.page.get_by_role('heading', name='Cups or &lt;b&gt;plates?').is_visible()
        assert 'glasses' not in v.text and 'drawn' not in v.text
        v.ask('green.png', GREEN, 'Prediction: &lt;b&gt;plates; ')
        assert 'unlike any photo' not in v.text
        v.ask('olive.png', picture('PNG', (640,480), (128,128,0)), 'Prediction: ')
        assert 'unlike any photo' in v.text
        correct(v, place)

def correct(v, place):
    "Name the right label of the photo that is shown, and look at what is stored"
    v.button('This is wrong').click()
    v.button('Show where it looked').click()                                            # leaves the form as it is
    send = v.button('Send')
    send.click()
    v.says('Choose the right label')
    v.page.get_by_label('Right label').select_option('cups')
    send.click()
    v.says('Tick the box')
    assert not list((place/'corrections').glob('cups/*'))
    v.page.get_by_label(re.compile('may be kept')).check()
    send.click()
    v.says('Thank you')
    assert Dataset(place/'corrections').counts() == dict(cups=1)
    assert not v.button('This is wrong').is_visible()

# -- What is said without a browser

def chosen(page, name, data):
    "Do to the upload button what the browser does, in ipywidgets 7 and 8"
    btn = page.btn_upload
    if ipywidgets.__version__.startswith('7.'):
        btn.set_state(dict(metadata=[dict(name=name)], data=[memoryview(data)], _counter=btn._counter+1))
    else: btn.set_state(dict(value=[dict(name=name, type='', size=len(data), last_modified=0, content=memoryview(data))]))

def came(page, name='a.png', data=None):
    "Hand the page a photo that came alone"
    page.on_photo(Arrival(name, picture('PNG') if data is None else data, '', 0, 1))
    return page

def test_plain_page_takes_photos_by_the_upload_button(model):
    page = classifier_app(model, plain=True)
    chosen(page, 'a.png', GREEN)
    assert 'Prediction: sunglasses; ' in page.out_pl.value
    chosen(page, 'b.png', b'no photo')
    assert 'b.png: not a photo' in page.lbl_pred.value and not page.out_pl.value

def test_photo_is_opened_once(model, monkeypatch):
    def again(*args): raise RuntimeError('opened again')
    monkeypatch.setattr('eyewear.predict.to_image', again)
    page = came(classifier_app(model), data=GREEN)
    page.on_click_classify(None)
    assert 'Prediction: sunglasses; ' in page.out_pl.value

def test_fault_of_ours_is_a_sentence_and_a_line_in_the_log(model, caplog):
    page = classifier_app(model)
    def broken(img): raise RuntimeError('/srv/secret is full')
    page.clf.classify = broken
    came(page)
    assert 'it was not your photo' in page.lbl_pred.value and 'secret' not in page.lbl_pred.value
    assert '/srv/secret is full' in caplog.text

FORGED = {'a.png': {}}, {'a.png': dict(content=None)}, (dict(name=None, content='x'),), 'text', [1]

def test_callbacks_look_at_what_they_get(model):
    "A visitor can send anything for the value of a widget"
    page = classifier_app(model, plain=True)
    for value in FORGED:
        page.btn_upload = SimpleNamespace(value=value)
        page.on_upload(None)
        assert 'went wrong' in page.lbl_pred.value or 'choose another' in page.lbl_pred.value
        page.on_click_classify(None)

def test_page_keeps_a_small_copy(model):
    page = came(classifier_app(model), data=picture('PNG', (3000,2000), 'lime'))
    assert page.shown[0].size == (1024,683) and 'Prediction: sunglasses; ' in page.out_pl.value

LARGE = '''
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (2*2**30, 2*2**30))
from pathlib import Path
import psutil
from eyewear.app import classifier_app
from eyewear.page.widgets import Arrival
page = classifier_app(sys.argv[1])
whole = Path(sys.argv[2]).read_bytes()
def ask(data, n):
    for i in range(n): page.on_photo(Arrival(f'{i}.jpg', data, '', 0, 1))
    return psutil.Process().memory_info().rss/2**20
print(ask(whole, 2), ask(whole, 6), ask(whole[:len(whole)*2//3], 6), len(page.rows))
print('truncated' in page.lbl_pred.value or 'damaged' in page.lbl_pred.value)
'''

@pytest.mark.skipif(os.name != 'posix', reason='needs a limit of memory')
def test_large_and_refused_photos_do_not_stay_in_memory(model, tmp_path):
    "6 of 12 megapixels, 36 MB each once opened, then 6 that break off"
    photo = tmp_path/'large.jpg'
    photo.write_bytes(noise('JPEG', (4000,3000), quality=30))
    res = subprocess.run([sys.executable, '-c', LARGE, str(model), photo], cwd=tmp_path, capture_output=True, text=True)
    before, whole, cut, rows, refused = res.stdout.split()
    assert (rows, refused) == ('14', 'True'), res.stderr
    assert float(whole) < float(before)+60 and float(cut) < float(before)+60

def ready_to_correct(model, folder):
    "The page after a photo, with the right label chosen"
    page = came(classifier_app(model, corrections=folder))
    page.correct.right_label.value = 'VR'
    return page

@pytest.mark.parametrize('forged', [1, 'true', [0], 1.0])
def test_consent_is_a_plain_yes(model, tmp_path, forged):
    page = ready_to_correct(model, tmp_path/'kept')
    with suppress(Exception): page.correct.agree.set_state(dict(value=forged))
    page.correct.btn_send.click()
    assert 'Tick the box' in page.correct.status.value and not list((tmp_path/'kept').glob('*/*.jpg'))
    page.correct.agree.set_state(dict(value=True))
    page.correct.btn_send.click()
    assert 'Thank you' in page.correct.status.value

@pytest.mark.parametrize('folder,reason', [('file', 'File exists'), ('kept', '/srv/secret is full')])
def test_correction_that_fails_is_a_sentence_and_a_line_in_the_log(model, tmp_path, monkeypatch, caplog, folder, reason):
    def broken(*args): raise RuntimeError('/srv/secret is full')
    monkeypatch.setattr('eyewear.page.widgets.keep_correction', broken)
    (tmp_path/'file').write_text('')
    page = ready_to_correct(model, tmp_path/folder)
    page.correct.agree.value = True
    page.correct.btn_send.click()
    status = page.correct.status.value
    assert 'could not be kept here' in status and str(tmp_path) not in status and 'secret' not in status
    assert 'a correction was not kept' in caplog.text and reason in caplog.text

def test_many_labels_have_a_short_title():
    assert page_title(['cups','plates']) == 'Cups or plates?'
    assert page_title(list('abcdefgh')) == page_title(['a']) == 'Photo classifier'

def test_model_named_and_missing_is_an_error_of_the_caller(tmp_path, monkeypatch):
    with pytest.raises(ModelError): classifier_app(tmp_path/'gone.onnx')
    monkeypatch.setenv('EYEWEAR_MODEL', str(tmp_path/'gone.onnx'))
    page = classifier_app().value
    assert 'There is no model here' in page and 'make run' in page and 'gone.onnx' not in page
