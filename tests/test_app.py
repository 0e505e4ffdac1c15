"The page in a real browser: served, opened, fed with photos and with what is none."
import io, os, re, signal, socket, subprocess, sys, time
from contextlib import contextmanager
from types import SimpleNamespace
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener
import ipywidgets, numpy as np, psutil, pytest
from PIL import Image
from eyewear import serve as serve_module
from eyewear.app import classifier_app, latest
from eyewear.core import EyewearError
from eyewear.predict import ModelError
from eyewear.serve import app_notebook, free_port, max_message, serve, voila_config
from badphotos import BAD, picture
from tinymodel import tiny_model

SERVE = 'import sys; from eyewear.serve import serve; serve(sys.argv[1], 0)'
QUESTION = 'Is the person wearing glasses/sunglasses or a VR headset?'
get = build_opener(ProxyHandler({})).open

def ended(proc, patience=20):
    "Wait until `proc` and all that it had started are gone; what is left"
    end = time.monotonic()+patience
    while time.monotonic() < end and (left := [o for o in proc if o.is_running() and o.status() != psutil.STATUS_ZOMBIE]): time.sleep(.1)
    return left

def family(proc): return [psutil.Process(proc.pid), *psutil.Process(proc.pid).children(recursive=True)]

@contextmanager
def serving(model, home, sig=signal.SIGTERM):
    "The page of `model` in a process of its own: its address and the process"
    env = {k: v for k, v in os.environ.items() if k != 'EYEWEAR_MODEL'} | dict(EYEWEAR_HOME=str(home))
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
    def __init__(self, browser, url):
        self.page = browser.new_page(viewport=dict(width=1100, height=760))
        self.page.goto(url)

    @property
    def text(self): return self.page.locator('body').inner_text()
    @property
    def status(self): return self.page.get_by_role('status')
    def ready(self):
        self.page.get_by_role('button', name='Classify').wait_for(timeout=90_000)
        return self

    def upload(self, name, data, says='Press Classify.'):
        "Choose a file and read what the page says about it"
        with self.page.expect_file_chooser() as fc: self.page.get_by_role('button', name=re.compile('Upload')).click()
        fc.value.set_files(dict(name=name, mimeType='', buffer=data))
        if says == 'Press Classify.': self.page.locator(f'.eyewear img[alt="{name}"]').wait_for()
        return self.says(says)

    def classify(self, says):
        self.page.get_by_role('button', name='Classify').click()
        return self.says(says)

    def says(self, text):
        "What stands there, once it begins with `text`"
        self.status.filter(has_text=re.compile('^'+re.escape(text))).wait_for()
        return self.status.inner_text()

    def thumb(self):
        "Name and size on the screen of the photo that is shown, or `None`"
        img = self.page.locator('.eyewear img')
        if not img.count(): return None
        box = img.bounding_box()
        return img.get_attribute('alt'), round(box['width']), round(box['height'])

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
    assert visitor.page.get_by_role('heading', name='Photo classifier').is_visible()
    assert visitor.page.get_by_text(QUESTION).is_visible()
    assert visitor.page.get_by_role('button', name=re.compile('Upload')).is_visible()
    assert 'import' not in visitor.text and 'classifier_app' not in visitor.text

def test_classify_without_a_photo_is_a_sentence(browser, site):
    v = Visitor(browser, site.url).ready()
    assert v.classify('There is') == 'There is no photo yet. Choose one with Upload.' and v.thumb() is None
    v.page.close()

def test_photo_gets_its_answer_and_thumbnail(visitor):
    assert visitor.upload('green.png', picture('PNG', (640,480), 'lime')) == 'Press Classify.'
    assert visitor.classify('Prediction: sunglasses') == 'Prediction: sunglasses; Probability: 1.0000'
    assert visitor.thumb() == ('green.png', 128, 96)

def test_second_photo_takes_the_place_of_the_first(visitor):
    visitor.upload('red.jpg', picture('JPEG', (300,600), 'red'))
    assert visitor.thumb() == ('red.jpg', 64, 128)
    visitor.classify('Prediction: glasses; ')
    assert visitor.upload('blue.webp', picture('WEBP', (600,300), 'blue')) == 'Press Classify.'
    visitor.classify('Prediction: VR; ')
    assert visitor.thumb() == ('blue.webp', 128, 64) and 'glasses;' not in visitor.text

@pytest.mark.parametrize('name', BAD)
def test_bad_file_is_a_sentence_and_the_page_goes_on(visitor, name):
    visitor.upload('red.jpg', picture('JPEG', (300,600), 'red'))
    said = visitor.upload(name, BAD[name], says=name+': ')
    assert said.endswith('. Please choose another photo.') and visitor.thumb() is None
    assert visitor.classify(name) == said
    visitor.upload('white.png', picture('PNG', (64,64), 'white'))
    visitor.classify('Prediction: none; ')

def test_photo_of_a_large_camera_arrives(visitor):
    "Over the 10 MB at which messages are dropped by default"
    noise = np.random.default_rng(0).integers(0, 256, (3000,4000,3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, 'JPEG', quality=90)
    assert 10e6 < len(out.getvalue()) < 40e6
    visitor.upload('large.jpg', out.getvalue())
    visitor.classify('Prediction: ')

def test_other_labels_ask_their_own_question(browser, place):
    q = 'Which is it: cups or <b>plates</b>?'
    with serving(tiny_model(place/'cups.onnx', ('cups','<b>plates</b>'), q), place) as s:
        v = Visitor(browser, s.url).ready()
        assert v.page.get_by_text(q).is_visible() and 'glasses' not in v.text
        v.upload('green.png', picture('PNG', (640,480), 'lime'))
        v.classify('Prediction: <b>plates</b>; ')
        v.page.close()

def test_page_without_a_model_says_how_to_make_one(browser, place, capfd):
    port, gone = free_port(0), place/'gone.onnx'
    url, proc = f'http://127.0.0.1:{port}/', serve_module._start(app_notebook(), gone, port, '127.0.0.1')
    try:
        serve_module._wait(proc, url)
        v = Visitor(browser, url)
        v.page.get_by_text('make run').wait_for()
        assert 'There is no model here' in v.text and not re.search(r'Traceback|gone\.onnx|'+re.escape(str(place)), v.text)
        v.page.close()
    finally: serve_module._stop(proc)
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

def test_fault_of_ours_is_a_sentence_and_a_line_in_the_log(model, caplog):
    page = classifier_app(model)
    chosen(page, 'a.png', picture('PNG'))
    def broken(photo): raise RuntimeError('/srv/secret is full')
    page.clf = broken
    page.btn_run.click()
    assert 'it was not your photo' in page.lbl_pred.value and 'secret' not in page.lbl_pred.value
    assert '/srv/secret is full' in caplog.text

def test_callbacks_look_at_what_they_get(model):
    "A visitor can send anything for the value of a widget"
    page = classifier_app(model)
    for value in ({'a.png':{}}, {'a.png':dict(content=None)}, (dict(name=None, content='x'),), 'text', [1]):
        page.btn_upload = SimpleNamespace(value=value)
        page.on_upload(None)
        assert 'went wrong' in page.lbl_pred.value or 'choose another' in page.lbl_pred.value
        page.on_click_classify(None)

def test_model_named_and_missing_is_an_error_of_the_caller(tmp_path, monkeypatch):
    with pytest.raises(ModelError): classifier_app(tmp_path/'gone.onnx')
    monkeypatch.setenv('EYEWEAR_MODEL', str(tmp_path/'gone.onnx'))
    assert 'make run' in classifier_app().value

def test_light_side_pulls_in_neither_torch_nor_fastai(model, tmp_path):
    code = ('import sys, eyewear.core, eyewear.predict, eyewear.app, eyewear.serve\n'
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
    assert cfg['Voila']['tornado_settings']['websocket_max_message_size'] == max_message > 100e6
    assert cfg['VoilaConfiguration']['allow_template_override'] == 'NO' and cfg['MappingKernelManager']['cull_idle_timeout'] > 0
