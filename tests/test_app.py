"The page in a real browser: served, opened, fed with photos and with what is none."
import csv, io, os, re, signal, socket, subprocess, sys, time
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener
import ipywidgets, numpy as np, psutil, pytest
from PIL import Image
from eyewear.page import launch as serve_module
from eyewear.app import classifier_app, latest
from eyewear.core import EyewearError
from eyewear.data.dataset import Dataset
from eyewear.page.widgets import Arrival, max_bytes
from eyewear.predict import ModelError, page_title
from eyewear.page.launch import page_notebook, free_port, max_message, serve, voila_config
from badphotos import BAD, picture
from conftest import axe, comes_true
from tinymodel import tiny_model

SERVE = 'import sys; from eyewear.page.launch import serve; serve(sys.argv[1], 0)'
CHOOSE = re.compile('Drop photos here|Choose photos')
QUESTION = 'Is the person wearing glasses/sunglasses or a VR headset?'
get = build_opener(ProxyHandler({})).open

def ended(proc, patience=20):
    "Wait until `proc` and all that it had started are gone; what is left"
    end = time.monotonic()+patience
    while time.monotonic() < end and (left := [o for o in proc if o.is_running() and o.status() != psutil.STATUS_ZOMBIE]): time.sleep(.1)
    return left

def family(proc): return [psutil.Process(proc.pid), *psutil.Process(proc.pid).children(recursive=True)]

@contextmanager
def serving(model, home, sig=signal.SIGTERM, **env):
    "The page of `model` in a process of its own: its address and the process"
    env = {k: v for k, v in os.environ.items() if k != 'EYEWEAR_MODEL'} | dict(EYEWEAR_HOME=str(home)) | env
    proc = subprocess.Popen([sys.executable, '-c', SERVE, str(model)], cwd=home, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = proc.stdout.readline()
        assert line, proc.stderr.read()
        yield SimpleNamespace(url=re.search(r'http://\S+', line)[0], proc=proc, line=line)
    finally:
        if proc.poll() is None: proc.send_signal(sig)
        try: proc.wait(30)
        finally: proc.kill()

@pytest.fixture(scope='module')
def place(tmp_path_factory): return tmp_path_factory.mktemp('app')

@pytest.fixture(scope='module')
def model(place): return tiny_model(place/'eyewear.onnx')

@pytest.fixture(scope='module')
def site(model, place):
    with serving(model, place) as s: yield s

class Visitor:
    "Somebody who looks at the page"
    def __init__(self, browser, url, **kw):
        self.page = browser.new_page(**{'viewport': dict(width=1100, height=900), **kw})
        self.page.goto(url)

    @property
    def text(self): return self.page.locator('body').inner_text()
    @property
    def answer(self): return self.page.locator('.ea-answer')
    def ready(self):
        self.page.get_by_role('button', name='Classify').wait_for(timeout=90_000)
        self.page.get_by_role('button', name=CHOOSE).wait_for(timeout=90_000)
        return self

    def choose(self, *files):
        "Choose files by name and bytes, as they are"
        with self.page.expect_file_chooser() as fc: self.page.get_by_role('button', name=CHOOSE).click()
        fc.value.set_files([dict(name=n, mimeType='', buffer=d) for n, d in files])
        return self

    def ask(self, name, data, says):
        "Choose a photo and read the answer, once it is about this one and begins with `says`"
        self.choose((name, data))
        self.page.locator('.ea-result > img').and_(self.page.get_by_alt_text(name, exact=True)).wait_for()
        self.answer.filter(has_text=re.compile('^'+re.escape(says))).wait_for()
        return self.answer.inner_text()

    def says(self, text):
        "The sentence above the photo, once it begins with `text`"
        said = self.page.locator('.ea [role=status]').filter(has_text=re.compile('^'+re.escape(text)))
        said.first.wait_for()
        return said.first.inner_text()

    def rows(self): return [' '.join(o.split()) for o in self.page.locator('.ea-table tbody tr').all_inner_texts()]
    def bars(self): return dict(zip(self.page.locator('.ea-bars th').all_inner_texts(), self.page.locator('.ea-bars td:last-child').all_inner_texts()))
    def fits(self): return self.page.evaluate('document.documentElement.scrollWidth <= innerWidth')

@pytest.fixture(scope='module')
def visitor(browser, site): return Visitor(browser, site.url).ready()

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

def test_classify_without_a_photo_is_a_sentence(visitor):
    visitor.page.get_by_role('button', name='Classify').click()
    assert visitor.says('There is') == 'There is no photo yet. Choose one above.' and not visitor.answer.count()
    assert not visitor.page.get_by_role('button', name='Show where it looked').is_visible() and not visitor.rows()

def test_photo_is_classified_when_it_comes(visitor):
    assert visitor.ask('green.png', picture('PNG', (640,480), 'lime'), 'Prediction: sunglasses') == 'Prediction: sunglasses; Probability: 1.0000'
    assert visitor.bars()['sunglasses'] == '100.0 %' and len(visitor.bars()) == 4
    assert 'There is no photo' not in visitor.text and 'wrong' not in visitor.text      # no correction is asked for where none is kept

def test_button_classifies_again(visitor):
    visitor.ask('green.png', picture('PNG', (640,480), 'lime'), 'Prediction: sunglasses')
    visitor.page.get_by_role('button', name='Classify').click()
    visitor.answer.filter(has_text='sunglasses').wait_for()

def test_earlier_results_are_kept_below_and_can_be_downloaded(browser, site):
    v = Visitor(browser, site.url).ready()
    v.ask('red.jpg', picture('JPEG', (300,600), 'red'), 'Prediction: glasses; ')
    assert not v.rows()
    v.ask('blue.webp', picture('WEBP', (600,300), 'blue'), 'Prediction: VR; ')
    v.page.get_by_role('heading', name='This visit').wait_for()
    assert v.rows() == ['blue.webp VR 1.0000', 'red.jpg glasses 1.0000']
    with v.page.expect_download() as d: v.page.get_by_role('link', name='Download as CSV').click()
    rows = list(csv.reader(open(d.value.path(), newline='')))
    assert d.value.suggested_filename == 'answers.csv' and [o[:3] for o in rows[1:]] == [['red.jpg','glasses','1.0000'], ['blue.webp','VR','1.0000']]
    v.page.close()

def test_many_at_once_are_a_table(browser, site):
    v = Visitor(browser, site.url).ready()
    v.choose(('red.jpg', picture('JPEG', (300,600), 'red')), ('letter.jpg', b'Dear Sir'), ('blue.webp', picture('WEBP', (600,300), 'blue')))
    assert v.says('3 photos') == '3 photos: 2 with an answer, 1 without. See the table.'
    assert [o.split()[0] for o in v.rows()] == ['blue.webp', 'letter.jpg', 'red.jpg'] and 'not a photo' in v.rows()[1]
    assert not v.answer.count()
    v.ask('white.png', picture('PNG', (64,64), 'white'), 'Prediction: none; ')
    v.page.close()

@pytest.mark.parametrize('name', BAD)
def test_bad_file_is_a_sentence_and_the_page_goes_on(visitor, name):
    visitor.ask('red.jpg', picture('JPEG', (300,600), 'red'), 'Prediction: glasses; ')
    visitor.choose((name, BAD[name]))
    said = visitor.says(name+': ')
    assert said.endswith('. Please choose another photo.') and not visitor.answer.count()
    visitor.ask('white.png', picture('PNG', (64,64), 'white'), 'Prediction: none; ')

def test_photo_of_a_large_camera_arrives(visitor):
    "Over the 10 MB at which messages are dropped by default"
    noise = np.random.default_rng(0).integers(0, 256, (3000,4000,3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, 'JPEG', quality=90)
    assert 10e6 < len(out.getvalue()) < 40e6
    visitor.ask('large.jpg', out.getvalue(), 'Prediction: ')

def test_spotlight_can_be_switched(visitor):
    visitor.ask('green.png', picture('PNG', (640,480), 'lime'), 'Prediction: sunglasses')
    bright = 'document.querySelector(".ea-result > img").src == window.bright'
    visitor.page.evaluate('window.bright = document.querySelector(".ea-result > img").src')
    visitor.page.get_by_role('button', name='Show where it looked').click()
    comes_true(visitor.page, f'!({bright})')
    assert visitor.page.get_by_text('Lit: what on the photo speaks for sunglasses.').is_visible()
    visitor.page.get_by_role('button', name='Show where it looked').click()
    comes_true(visitor.page, bright)

def test_example_is_classified_with_one_click(visitor):
    visitor.page.get_by_role('button', name='Drawn portrait: VR').click()
    visitor.page.locator('.ea-result > img').and_(visitor.page.get_by_alt_text('VR.jpg')).wait_for()
    assert visitor.answer.inner_text().startswith('Prediction: ')

@pytest.mark.parametrize('width,scheme', [(1100,'light'), (1100,'dark'), (360,'light')])
def test_page_fits_and_reads_well(browser, site, width, scheme):
    v = Visitor(browser, site.url, viewport=dict(width=width, height=800), color_scheme=scheme).ready()
    assert v.fits()
    v.ask('a_photo_with_a_long_name_'+'x'*80+'.jpg', picture('JPEG', (300,600), 'red'), 'Prediction: ')
    v.choose(('red.jpg', picture('JPEG', (300,600), 'red')), ('letter.jpg', b'Dear Sir'))
    v.says('2 photos')
    v.ask('white.png', picture('PNG', (64,64), 'white'), 'Prediction: none; ')
    assert axe(v.page) == []
    assert v.fits() and v.page.locator('.ea').bounding_box()['width'] <= 724
    v.page.close()

def test_other_labels_ask_their_own_question(browser, place):
    q = 'Which is it: cups or <b>plates</b>?'
    model = tiny_model(place/'cups.onnx', ('cups','&lt;b&gt;plates'), q, unknown=True, UNKNOWN_THRESHOLD='0.3', SOURCE='bing')
    with serving(model, place, EYEWEAR_CORRECTIONS=str(place/'corrections')) as s:
        v = Visitor(browser, s.url).ready()
        assert v.page.get_by_text(q).is_visible() and v.page.get_by_role('heading', name='Cups or &lt;b&gt;plates?').is_visible()
        assert 'glasses' not in v.text and 'drawn' not in v.text
        assert v.ask('green.png', picture('PNG', (640,480), 'lime'), 'Prediction: &lt;b&gt;plates; ') and 'unlike any photo' not in v.text
        v.ask('olive.png', picture('PNG', (640,480), (128,128,0)), 'Prediction: ')
        assert 'unlike any photo' in v.text
        correct(v, place)
        v.page.close()

def correct(v, place):
    "Name the right label of the photo that is shown, and look at what is stored"
    v.page.get_by_role('button', name='This is wrong').click()
    v.page.get_by_role('button', name='Show where it looked').click()                   # leaves the form as it is
    send = v.page.get_by_role('button', name='Send')
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
    assert not v.page.get_by_role('button', name='This is wrong').is_visible()

def test_page_without_a_model_says_how_to_make_one(browser, place, capfd):
    port, gone = free_port(0), place/'gone.onnx'
    url, proc = f'http://127.0.0.1:{port}/', serve_module.start_server(page_notebook(), gone, port, '127.0.0.1')
    try:
        serve_module.wait_for_page(proc, url)
        v = Visitor(browser, url)
        v.page.get_by_text('make run').wait_for()
        assert 'There is no model here' in v.text and not re.search(r'Traceback|gone\.onnx|'+re.escape(str(place)), v.text)
        v.page.close()
    finally: serve_module.stop_server(proc)
    assert f'{gone}: there is no such model file' in capfd.readouterr().err # the owner reads more

# -- What is said without a browser

def chosen(page, name, data):
    "Do to the upload button what the browser does, in ipywidgets 7 and 8"
    btn = page.btn_upload
    if ipywidgets.__version__.startswith('7.'): btn.set_state(dict(metadata=[dict(name=name)], data=[memoryview(data)], _counter=btn._counter+1))
    else: btn.set_state(dict(value=[dict(name=name, type='', size=len(data), last_modified=0, content=memoryview(data))]))

def test_upload_button_of_both_generations():
    old = SimpleNamespace(value={'a.png': dict(metadata={}, content=b'1')})
    new = SimpleNamespace(value=(dict(name='a.png', content=memoryview(b'1')),))
    assert latest(old) == latest(new) == ('a.png', b'1')
    assert latest(SimpleNamespace(value={})) is latest(SimpleNamespace(value=())) is None

def test_plain_page_takes_photos_by_the_upload_button(model):
    page = classifier_app(model, plain=True)
    chosen(page, 'a.png', picture('PNG', colour='lime'))
    assert 'Prediction: sunglasses; ' in page.out_pl.value
    chosen(page, 'b.png', b'no photo')
    assert 'b.png: not a photo' in page.lbl_pred.value and not page.out_pl.value

def test_fault_of_ours_is_a_sentence_and_a_line_in_the_log(model, caplog):
    page = classifier_app(model)
    def broken(photo): raise RuntimeError('/srv/secret is full')
    page.clf.classify = broken
    page.on_photo(Arrival('a.png', picture('PNG'), '', 0, 1))
    assert 'it was not your photo' in page.lbl_pred.value and 'secret' not in page.lbl_pred.value
    assert '/srv/secret is full' in caplog.text

def test_correction_that_cannot_be_kept_is_a_line_for_the_owner(tmp_path):
    "Fresh process: nothing else has set up a log there"
    code = ('import sys; from PIL import Image; from eyewear.page.widgets import Correct\n'
            'c = Correct(sys.argv[1], ["cups","plates"]); c.show(Image.new("RGB", (9,9)), "cups")\n'
            'c.right_label.value = "plates"; c.agree.value = True; c.btn_send.click(); print(c.status.value)')
    (tmp_path/'file').write_text('')
    said = subprocess.run([sys.executable, '-c', code, tmp_path/'file'], capture_output=True, text=True)
    assert 'could not be kept here' in said.stdout and 'file' not in said.stdout, said
    assert 'a correction was not kept' in said.stderr and str(tmp_path/'file') in said.stderr

def test_callbacks_look_at_what_they_get(model):
    "A visitor can send anything for the value of a widget"
    page = classifier_app(model, plain=True)
    for value in ({'a.png':{}}, {'a.png':dict(content=None)}, (dict(name=None, content='x'),), 'text', [1]):
        page.btn_upload = SimpleNamespace(value=value)
        page.on_upload(None)
        assert 'went wrong' in page.lbl_pred.value or 'choose another' in page.lbl_pred.value
        page.on_click_classify(None)

def test_name_that_is_no_text_does_not_break_the_visit(model):
    page = classifier_app(model)
    for name in ('half \ud83d.png', 'b.png', 'c.png'): page.btn_upload.answer(dict(do='photo', name=name, problem='', i=0, n=1), [picture('PNG', colour='lime')])
    for w in (page.out_pl, page.out_rows, page.lbl_pred): w.value.encode()
    assert 'half ' in page.out_rows.value and 'Prediction: sunglasses; ' in page.out_pl.value

def test_page_keeps_a_small_copy(model):
    page = classifier_app(model)
    page.on_photo(Arrival('large.png', picture('PNG', (3000,2000), 'lime'), '', 0, 1))
    assert page.shown[0].size == (1024,683) and 'Prediction: sunglasses; ' in page.out_pl.value

LARGE = '''
import gc, io, resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (2*2**30, 2*2**30))
import numpy as np, psutil
from PIL import Image
from eyewear.app import classifier_app
from eyewear.page.widgets import Arrival
page = classifier_app(sys.argv[1])
b = io.BytesIO()
Image.fromarray(np.random.default_rng(0).integers(0, 90, (3000,4000,3), dtype=np.uint8)).save(b, 'JPEG', quality=30)
whole, cut = b.getvalue(), b.getvalue()[:-len(b.getvalue())//3]
def ask(data, n=20):
    for i in range(n): page.on_photo(Arrival(f'{i}.jpg', data, '', 0, 1))
    return psutil.Process().memory_info().rss/2**20
before = ask(whole, 2)
print(before, ask(whole), ask(cut), len(page.rows), 'truncated' in page.lbl_pred.value or 'damaged' in page.lbl_pred.value)
'''

@pytest.mark.skipif(os.name != 'posix', reason='needs a limit of memory')
def test_large_and_refused_photos_do_not_stay_in_memory(model, tmp_path):
    "20 of 12 megapixels, 36 MB each once opened, then 20 that break off"
    res = subprocess.run([sys.executable, '-c', LARGE, str(model)], cwd=tmp_path, capture_output=True, text=True)
    before, whole, cut, rows, refused = res.stdout.split()
    assert (rows, refused) == ('42', 'True'), res.stderr
    assert float(whole) < float(before)+60 and float(cut) < float(before)+60

def test_refused_photo_keeps_its_sentence_alone(model):
    page = classifier_app(model)
    page.on_photo(Arrival('a.png', b'no photo', '', 0, 1))
    [(_, _, p)] = page.rows
    assert p.__traceback__ is p.__cause__ is p.__context__ is None and str(p).startswith('a.png: not a photo')

@pytest.mark.parametrize('forged', [1, 'true', [0], 1.0])
def test_consent_is_a_plain_yes(model, tmp_path, forged):
    page = classifier_app(model, corrections=tmp_path/'kept')
    page.on_photo(Arrival('a.png', picture('PNG'), '', 0, 1))
    page.correct.right_label.value = 'VR'
    with suppress(Exception): page.correct.agree.set_state(dict(value=forged))
    page.correct.btn_send.click()
    assert 'Tick the box' in page.correct.status.value and not list((tmp_path/'kept').glob('*/*.jpg'))
    page.correct.agree.set_state(dict(value=True))
    page.correct.btn_send.click()
    assert 'Thank you' in page.correct.status.value

def test_correction_that_fails_in_any_way_is_a_sentence(model, tmp_path, monkeypatch, caplog):
    page = classifier_app(model, corrections=tmp_path/'kept')
    page.on_photo(Arrival('a.png', picture('PNG'), '', 0, 1))
    page.correct.right_label.value = 'VR'
    page.correct.agree.value = True
    def broken(*args): raise RuntimeError('/srv/secret is full')
    monkeypatch.setattr('eyewear.page.widgets.keep_correction', broken)
    page.correct.btn_send.click()
    assert 'could not be kept here' in page.correct.status.value and '/srv/secret is full' in caplog.text

def test_many_labels_have_a_short_title():
    assert page_title(['cups','plates']) == 'Cups or plates?' and page_title(list('abcdefgh')) == page_title(['a']) == 'Photo classifier'

def test_model_named_and_missing_is_an_error_of_the_caller(tmp_path, monkeypatch):
    with pytest.raises(ModelError): classifier_app(tmp_path/'gone.onnx')
    monkeypatch.setenv('EYEWEAR_MODEL', str(tmp_path/'gone.onnx'))
    assert 'make run' in classifier_app().value

def test_light_side_pulls_in_neither_torch_nor_fastai(model, tmp_path):
    code = ('import sys, eyewear.core, eyewear.predict, eyewear.app, eyewear.page.launch\n'
            'page = eyewear.app.classifier_app(sys.argv[1])\n'
            'heavy = {o.split(".")[0] for o in sys.modules} & {"torch", "torchvision", "timm", "fastai", "fastbook", "onnx", "matplotlib", "pandas"}\n'
            'sys.exit(f"imported: {heavy}" if heavy else 0)')
    res = subprocess.run([sys.executable, '-c', code, str(model)], cwd=tmp_path, capture_output=True, text=True)
    assert res.returncode == 0, res.stderr

# -- The server

def test_one_line_with_the_address(site): assert re.fullmatch(r'The app is at http://127\.0\.0\.1:\d+/ \(Ctrl-C ends it\)\n', site.line)

@pytest.mark.parametrize('path', ['voila/files/app.ipynb', 'voila/files/eyewear.onnx', 'voila/files/../serve.py', 'voila/tree', 'api/contents', 'api/kernels'])
def test_nothing_but_the_page_is_given_out(site, path):
    try:
        with get(site.url+path, timeout=60) as r: assert 'Photo classifier' in r.read().decode()  # every other address is the page
    except HTTPError as e: assert e.code in (403, 404)

def test_template_is_ours_alone(site):
    with get(site.url+'?template=base&theme=dark', timeout=60) as r: assert 'theme-light' in r.read().decode()

def opened(s):
    "The page opened once; the processes that there are then"
    assert len([o for o in family(s.proc) if 'ipykernel' in ' '.join(o.cmdline())]) == 1 # made ahead; that of the first page was given back
    with get(s.url, timeout=60) as r: r.read()
    out = family(s.proc)
    assert len(out) >= 3                                                           # we, Voila, a kernel
    return out

@pytest.mark.skipif(os.name != 'posix', reason='signals')
@pytest.mark.parametrize('sig', ['SIGINT','SIGTERM','SIGHUP'])
def test_signal_ends_it_cleanly(model, place, sig):
    with serving(model, place, getattr(signal, sig)) as s: procs = opened(s)
    assert s.proc.returncode == 0 and not ended(procs)
    assert s.proc.stderr.read() == '' and s.proc.stdout.read() == ''

@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='needs prctl')
def test_killed_leaves_no_child(model, place):
    with serving(model, place, signal.SIGKILL) as s: procs = opened(s)
    assert not ended(procs)

@pytest.fixture
def nothing_starts(monkeypatch):
    def no(*a, **k): raise AssertionError('something was started')
    monkeypatch.setattr(subprocess, 'Popen', no)

def test_what_is_wrong_is_said_before_anything_starts(model, tmp_path, nothing_starts, monkeypatch):
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path))
    monkeypatch.delenv('EYEWEAR_MODEL', raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path/'broken.onnx').write_text('no model')
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0)); s.listen()
        taken = s.getsockname()[1]
        for args,word in [((None,), 'there is no model yet'), ((tmp_path/'broken.onnx',), 'broken.onnx'), ((model, taken), f'port {taken}'),
                          ((model, 99_999), 'port 99999'), ((model, 0, '203.0.113.1'), '203.0.113.1'), ((model, 0, 'no such host'), 'no such host')]:
            with pytest.raises(EyewearError) as e: serve(*args)
            assert word in str(e.value) and '\n' not in str(e.value)

def test_settings_that_visitors_need():
    cfg = voila_config(1234, '0.0.0.0')
    assert cfg['Voila'] | dict(tornado_settings=0) == dict(port=1234, ip='0.0.0.0', port_retries=0, open_browser=False, log_level='ERROR', tornado_settings=0)
    assert cfg['Voila']['tornado_settings']['websocket_max_message_size'] == max_message == max_bytes+2**20
    assert cfg['VoilaConfiguration']['allow_template_override'] == 'NO' and cfg['MappingKernelManager']['cull_idle_timeout'] > 0
