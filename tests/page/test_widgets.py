"The area that takes photos, in a real browser: what arrives in Python, and the sentence where nothing can arrive."
import base64, io, json, os, re, time
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
import numpy as np, pytest
from PIL import Image
from eyewear.page.assets import static_folder
from eyewear.page.widgets import Arrival, PhotoDrop, max_bytes, max_photos
from eyewear.core import PhotoError
from eyewear.photo import max_pixels, max_side, max_webp, open_photo, stored_side
from eyewear.predict import Classifier, Prediction
import browsing
from badphotos import BAD, claims, picture
from conftest import HUSH, axe, comes_true, notebook
from oddphotos import odd_photos
from tinymodel import tiny_model

EVIL = '<img src=x onerror=document.title=1>'
CODE = '''
import json, os, time
from pathlib import Path
from PIL import Image
from eyewear.page.widgets import PhotoDrop
from eyewear.photo import jpeg

folder = Path(os.environ['DROP_DIR'])

def keep(a):
    k = len(list(folder.glob('*.json')))
    if a.data is not None: (folder/f'{k:04}.bin').write_bytes(a.data)
    (folder/f'{k:04}.tmp').write_text(json.dumps([a.name, a.problem, a.i, a.n]))
    (folder/f'{k:04}.tmp').rename(folder/f'{k:04}.json')
    if a.name.startswith('raise'): raise RuntimeError('/srv/secret is full')
    while a.name.startswith('wait') and not (folder/'go').exists(): time.sleep(.05)

teal, orange = (jpeg(Image.new('RGB', (64,64), o)) for o in ('teal','orange'))
examples = [('A teal <b>square</b>', 'teal.jpg', teal), ('An orange one', 'orange.jpg', orange)]
drop = PhotoDrop(examples, 'Or try one of these:')
drop.on_photo(keep)
drop'''

@pytest.fixture(scope='module')
def browser(chromium):
    "A Chromium with a camera, which a page may use where its context says so"
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=chromium, args=[*HUSH, '--use-fake-device-for-media-stream'])
        yield b
        b.close()

@contextmanager
def terminal(path):
    "Standard error of a process started here goes to `path`; a kernel that knows it is in a test has no terminal"
    os.environ.pop('PYTEST_CURRENT_TEST', None)
    with open(path, 'wb') as f:
        old = os.dup(2)
        try: yield os.dup2(f.fileno(), 2)
        finally: os.dup2(old, 2), os.close(old)

class Site:
    "A page with nothing but the area, and the folder in which each photo is put that arrives"
    def __init__(self, home, url):
        self.home = home
        self.url = url
        self.arrived = home/'arrived'
    def clear(self):
        self.arrived.mkdir(exist_ok=True)
        for f in self.arrived.iterdir(): f.unlink()
    def go(self): (self.arrived/'go').touch()
    @property
    def photos(self):
        "All that has arrived by now"
        out = []
        for f in sorted(self.arrived.glob('*.json')):
            name, problem, i, n = json.loads(f.read_text())
            data = f.with_suffix('.bin')
            out.append(Arrival(name, data.read_bytes() if data.exists() else None, problem, i, n))
        return out
    def wait(self, n=1, patience=60):
        "The arrivals, once there are `n`"
        end = time.monotonic()+patience
        while len(photos := self.photos) < n and time.monotonic() < end: time.sleep(.05)
        assert len(photos) == n, [(o.name, o.problem, o.i, o.n) for o in photos]
        return photos

@pytest.fixture(scope='module')
def site(tmp_path_factory):
    home = tmp_path_factory.mktemp('drop')
    (home/'drop.ipynb').write_text(notebook(CODE, title='Drop'))
    with ExitStack() as stack:
        with terminal(home/'log.txt'):
            s = stack.enter_context(browsing.serving(home/'drop.ipynb', DROP_DIR=str(home/'arrived')))
        yield Site(home, s.url)

@pytest.fixture(autouse=True)
def nothing_has_come(request):
    if 'site' in request.fixturenames or 'visitor' in request.fixturenames: request.getfixturevalue('site').clear()

FILES = '''all => {
  const t = new DataTransfer()
  const bytes = o => typeof o === 'number' ? new Uint8Array(o) : Uint8Array.from(atob(o), c => c.charCodeAt(0))
  for (const [name, parts] of all) t.items.add(new File(parts.map(bytes), name))
  return t
}'''

class Visitor(browsing.Visitor):
    "Somebody with photos"
    def __init__(self, browser, url, clock=False, script=None, **context):
        super().__init__(browser, **context)
        self.page.on('filechooser', lambda _: None) # else a key may come before Playwright listens
        if script: self.page.add_init_script(script)
        if clock: self.page.clock.install()
        self.page.goto(url)
        self.area.wait_for(timeout=90_000)

    @property
    def area(self): return self.button(re.compile('photos|choose files'))
    @property
    def said(self): return self.page.locator('.ed-say').inner_text()

    def choose(self, *files):
        browsing.choose(self.page, self.area, *files)
        return self

    def transfer(self, *files):
        "A `DataTransfer` of (name, bytes or a number of zeros, ..)"
        def encoded(o): return o if isinstance(o, int) else base64.b64encode(o).decode()
        return self.page.evaluate_handle(FILES, [[name, [encoded(o) for o in parts]] for name, *parts in files])

    def drop(self, *files, on='.ed-area'):
        self.page.dispatch_event(on, 'drop', dict(dataTransfer=self.transfer(*files)))
        return self

    def says(self, text, patience=30):
        "What the line says, once `text` is in it"
        self.page.locator('.ed-say').filter(has_text=text).wait_for(timeout=1000*patience)
        return self.said

    def quiet(self):
        "Wait until nothing is under way"
        self.page.locator('.ed:not(.ed-busy)').wait_for(timeout=60_000)
        return self

@pytest.fixture(scope='module')
def visitor(browser, site):
    with Visitor(browser, site.url) as v:
        yield v
        assert v.page.title() == 'Drop' # no name of a file was taken for markup

def look(a):
    "The photo that has arrived"
    img = Image.open(io.BytesIO(a.data))
    img.load()
    return img

def near(pixel, colour, by=24): return all(abs(a-b) <= by for a, b in zip(pixel, colour))

# -- Four ways in

def test_chosen_twice(visitor, site):
    "The input is emptied, or the same file would be no change"
    for n in (1, 2):
        visitor.choose(('wide.png', picture('PNG', (2000,1000), 'teal'))).quiet()
        a = site.wait(n)[-1]
        img = look(a)
        assert (a.name, a.problem, a.i, a.n, img.format, img.size) == ('wide.png', '', 0, 1, 'JPEG', (1024,512))
        assert near(img.getpixel((9,9)), (0,128,128))
        assert visitor.page.locator('.ed input').evaluate('o => o.value') == ''

def test_dropped_on_the_area(visitor, site):
    visitor.page.dispatch_event('.ed-area', 'dragover', dict(dataTransfer=visitor.transfer(('a.png', b''))))
    assert visitor.page.locator('.ed-over').count()
    visitor.page.dispatch_event('html', 'dragleave')
    assert not visitor.page.locator('.ed-over').count()
    visitor.drop(('a.png', picture('PNG', colour='blue')), ('b.png', picture('PNG')))
    photos = site.wait(2)
    assert [(o.name, o.i, o.n) for o in photos] == [('a.png', 0, 2), ('b.png', 1, 2)]
    assert near(look(photos[0]).getpixel((9,9)), (0,0,255))

def test_dropped_beside_it(visitor, site):
    "The browser would leave the page and show the file"
    is_prevented = '''([name, t]) => !document.body.dispatchEvent(
        new DragEvent(name, {dataTransfer: t, bubbles: true, cancelable: true}))'''
    photo = visitor.transfer(('a.png', picture('PNG')))
    for event in ('dragover', 'drop'): assert visitor.page.evaluate(is_prevented, [event, photo])
    assert site.wait()[0].name == 'a.png'

def test_dropped_on_what_has_its_own_use_for_files(visitor, site):
    other = '<div class="ed" id="other"><button>Another area</button></div>'
    visitor.page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", other)
    visitor.drop(('a.png', picture('PNG')), on='#other button')
    visitor.page.dispatch_event('#other button', 'dragover', dict(dataTransfer=visitor.transfer(('a.png', b''))))
    assert not visitor.page.locator('.ed-over').count()
    visitor.page.evaluate('other.remove()')
    visitor.drop(('b.png', picture('PNG')))
    assert [o.name for o in site.wait()] == ['b.png']

COPY = '''async o => navigator.clipboard.write([new ClipboardItem({'image/png':
    new Blob([Uint8Array.from(atob(o), c => c.charCodeAt(0))], {type: 'image/png'})})])'''

def paste(v, data):
    "Copy a picture, or a word, and press Ctrl-V"
    v.context.grant_permissions(['clipboard-read', 'clipboard-write'])
    if isinstance(data, str): v.page.evaluate('o => navigator.clipboard.writeText(o)', data)
    else: v.page.evaluate(COPY, base64.b64encode(data).decode())
    v.page.keyboard.press('Control+V')

def test_pasted(visitor, site):
    visitor.page.evaluate('document.activeElement.blur()')
    paste(visitor, picture('PNG', (300,200), 'lime'))
    a, = site.wait()
    assert look(a).size == (300,200) and near(look(a).getpixel((9,9)), (0,255,0))

def test_pasted_where_somebody_writes_is_left_alone(visitor, site):
    visitor.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<textarea id=mine>'); mine.focus()")
    paste(visitor, picture('PNG', colour='red'))
    visitor.page.evaluate('mine.remove()')
    visitor.area.focus()
    paste(visitor, picture('PNG', colour='blue'))
    visitor.quiet()
    a, = site.wait()
    assert near(look(a).getpixel((9,9)), (0,0,255))

def test_words_are_no_photo(visitor, site):
    words = visitor.transfer()
    words.evaluate('t => t.setData("text/plain", "hello")')
    visitor.page.dispatch_event('.ed-area', 'dragover', dict(dataTransfer=words))
    visitor.page.dispatch_event('.ed-area', 'drop', dict(dataTransfer=words))
    assert 'Nothing here that could be a photo' in visitor.says('Nothing')
    visitor.choose(('a.png', picture('PNG'))).quiet()
    assert visitor.said == '' and len(site.wait()) == 1
    visitor.area.focus()
    paste(visitor, 'hello')
    assert 'Nothing here that could be a photo' in visitor.says('Nothing')

def test_by_key_and_examples(visitor, site):
    visitor.page.evaluate('document.activeElement.blur()')
    def tab(to):
        "Tab until the focus is on `to`"
        for _ in range(20):
            if to.evaluate('o => o === document.activeElement'): return
            visitor.page.keyboard.press('Tab')
        raise AssertionError(f'{to}: never in focus')
    tab(visitor.area)
    assert visitor.area.evaluate('o => getComputedStyle(o).outlineStyle') == 'solid'
    with visitor.page.expect_file_chooser() as fc: visitor.page.keyboard.press('Enter')
    fc.value.set_files(dict(name='key.png', mimeType='', buffer=picture('PNG')))
    site.wait()
    tab(visitor.button('Take a photo'))
    tab(visitor.button('A teal <b>square</b>'))
    visitor.page.keyboard.press('Space')
    visitor.button('An orange one').click()
    _, teal, orange = site.wait(3)
    assert [(o.name, o.i, o.n) for o in (teal, orange)] == [('teal.jpg', 0, 1), ('orange.jpg', 0, 1)]
    assert near(look(teal).getpixel((9,9)), (0,128,128))

# -- The camera

SPY = '''(() => { window.streams = []; const own = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices)
  navigator.mediaDevices.getUserMedia = async o => { const s = await own(o); window.streams.push(s); return s } })()'''
ON = 'streams.filter(s => s.getTracks().some(o => o.readyState === "live")).length'

def test_camera(browser, site):
    with Visitor(browser, site.url, script=SPY, permissions=['camera']) as v:
        take = v.button('Take a photo')
        dialog = v.page.get_by_role('dialog', name='Take a photo')
        take.click()
        snap = dialog.get_by_role('button', name='Take the photo')
        snap.and_(v.page.locator(':focus')).wait_for() # once there is a picture
        v.page.keyboard.press('Enter')
        a, = site.wait()
        img = look(a)
        assert a.name == 'camera.jpg' and img.format == 'JPEG' and max(img.size) <= 1024
        assert len(img.getcolors(10**6) or range(99)) > 3
        assert not dialog.count() and v.page.evaluate('streams.length') == 1 and v.page.evaluate(ON) == 0
        cancel = dialog.get_by_role('button', name='Cancel')
        for leave in (cancel.click, lambda: v.page.keyboard.press('Escape')):
            take.click()
            dialog.wait_for()
            comes_true(v.page, f'{ON} === 1')
            leave()
            dialog.wait_for(state='detached')
            comes_true(v.page, f'{ON} === 0') # the camera goes off once the dialog is gone
            assert take.evaluate('o => o === document.activeElement')
        assert len(site.photos) == 1 and v.page.evaluate('streams.length') == 3

FAIL = 'name => navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", name))'

REFUSED = 'The camera was refused. Allow it for this page in your browser, or choose a photo.'

@pytest.mark.parametrize('error,words', [(None, REFUSED),
    ('NotFoundError', 'no camera'), ('NotReadableError', 'another program'), ('AbortError', 'cannot be used')])
def test_camera_that_fails_is_a_sentence(visitor, site, error, words):
    if error: visitor.page.evaluate(FAIL, error) # else this browser refuses it
    visitor.button('Take a photo').click()
    assert visitor.says(words).endswith('photo.')
    visitor.page.evaluate('delete navigator.mediaDevices.getUserMedia')
    visitor.choose(('a.png', picture('PNG'))).quiet()
    assert visitor.said == '' and site.wait()

def test_no_button_where_no_camera_can_be(browser, site):
    with Visitor(browser, site.url, script='Object.defineProperty(navigator, "mediaDevices", {value: undefined})') as v:
        assert v.area.is_visible() and not v.button('Take a photo').count()

# -- Made small

def saved(img, kind, **options):
    out = io.BytesIO()
    img.save(out, kind, **options)
    return out.getvalue()

def phone_photo():
    "12 megapixels with a red corner, lying on its side as its EXIF says, and with the place where it was taken"
    a = np.random.default_rng(0).integers(0, 60, (3000,4000,3), dtype=np.uint8)
    a[-800:, :800] = 255, 0, 0 # bottom left, which orientation 6 brings to the top left
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010f] = 'Secret Camera Co'
    exif.get_ifd(0x8825).update({1: 'N', 2: (52.0, 31.0, 12.0), 3: 'E', 4: (13.0, 24.0, 36.0)})
    return saved(Image.fromarray(a), 'JPEG', quality=90, exif=exif)

def test_phone_photo_arrives_small_upright_and_without_its_place(visitor, site):
    data = phone_photo()
    assert len(data) > 3e6 and b'Secret' in data and Image.open(io.BytesIO(data)).getexif().get_ifd(0x8825)
    visitor.choose(('phone.jpg', data))
    a, = site.wait()
    img = look(a)
    assert img.size == (768,1024) and len(a.data) < 400_000
    assert not img.getexif() and b'Exif' not in a.data and b'Secret' not in a.data
    assert near(img.getpixel((40,40)), (255,0,0))
    assert max(img.getpixel((700,40))) < 90 and max(img.getpixel((40,990))) < 90

def test_kinds_that_the_browser_knows(visitor, site):
    red, blue = (Image.new('RGB', (20,20), o) for o in ('red', 'blue'))
    wanted = [('clear.png', saved(Image.new('RGBA', (40,30), (0,0,0,0)), 'PNG'), (40,30), (255,255,255)),
              ('moves.gif', saved(red, 'GIF', save_all=True, append_images=[blue]), (20,20), (255,0,0)),
              ('print.jpg', picture('JPEG', (40,30), (0,0,255), 'CMYK'), (40,30), (0,0,255)),
              ('new.webp', picture('WEBP', (40,30), 'lime'), (40,30), (0,255,0)),
              ('line.png', picture('PNG', (3000,1)), (1024,1), (255,0,0))]
    visitor.choose(*(o[:2] for o in wanted))
    for a, (name, _, size, colour) in zip(site.wait(5), wanted):
        img = look(a)
        assert img.size == size and near(img.getpixel((0,0)), colour, 40), name

def test_large_file_that_the_browser_can_open(visitor, site):
    visitor.drop(('long.jpg', picture('JPEG', (600,400), 'teal'), 40*2**20))
    a, = site.wait()
    assert look(a).size == (600,400) and len(a.data) < 20_000

# -- As the script sees it

@pytest.fixture(scope='module')
def answers(site, visitor, tmp_path_factory):
    "What a model says of each odd photo: of what the page sends, and of the file itself"
    clf = Classifier(tiny_model(tmp_path_factory.mktemp('odd')/'tiny.onnx', quarters=True))
    files = odd_photos()
    site.clear()
    visitor.choose(*files.items())
    arrived = {o.name: o.data for o in site.wait(len(files), 120)}
    of_page, of_script = ([p for _, p in clf.many([photos[o] for o in files])] for photos in (arrived, files))
    return {name: both for name, *both in zip(files, of_page, of_script)}

@pytest.mark.parametrize('name', odd_photos())
def test_page_and_script_answer_alike(answers, name):
    page, script = answers[name]
    assert isinstance(page, Prediction) and isinstance(script, Prediction)
    assert page.label == script.label
    assert all(abs(page.probs[o]-script.probs[o]) < .02 for o in page.probs)

def test_answers_tell_colours_and_places_apart(answers):
    "Or the test above could not fail"
    plain, *others = (answers[o][1].probs for o in ('plain.png', 'p3.png', 'exif6.jpg'))
    for other in others: assert max(abs(plain[o]-other[o]) for o in plain) > .03

# -- What the browser cannot open

def test_it_arrives_as_it_is(visitor, site):
    heic = b'\0\0\0\x18ftypheic\0\0\0\0mif1heic'+np.random.default_rng(0).bytes(200_000)
    files = dict(BAD, **{'phone.heic': heic, 'scan.tif': picture('TIFF'), 'cut2.jpg': phone_photo()[:-1000]})
    visitor.choose(*files.items())
    expected = [Arrival(name, data, '', i, len(files)) for i, (name, data) in enumerate(files.items())]
    assert site.wait(len(files)) == expected

COUNT_OPENED = '''() => {
  const own = window.own ??= createImageBitmap
  window.opened = 0
  window.createImageBitmap = (...o) => { window.opened++; return own(...o) }
}'''
BOMBS = {'bomb.png': lambda: claims(12_000, 12_000), 'line.png': lambda: claims(70_000, 1),
         'wide.webp': lambda: picture('WEBP', (8001, 8000), method=0)}

@pytest.mark.parametrize('name', BOMBS)
def test_more_pixels_than_python_opens(visitor, site, name):
    "The browser would open it, and take half a gigabyte and more for it"
    bomb = BOMBS[name]()
    visitor.page.evaluate(COUNT_OPENED)
    visitor.choose((name, bomb), ('a.png', picture('PNG')))
    a, b = site.wait(2)
    assert (a.data, look(b).format, visitor.page.evaluate('opened')) == (bomb, 'JPEG', 1)
    with pytest.raises(PhotoError, match='at most'): open_photo(a.data, a.name)

def test_photo_of_108_megapixels_is_made_small(visitor, site):
    visitor.choose(('phone.jpg', picture('JPEG', (12_000, 9000), 'teal')))
    a, = site.wait()
    assert look(a).size == (1024, 768) and near(look(a).getpixel((9, 9)), (0, 128, 128))

def test_too_large_to_be_sent_is_a_sentence(visitor, site):
    visitor.drop((EVIL+'.heic', 20*2**20+100_000), ('just.heic', 20*2**20))
    problem = EVIL+'.heic: 20.1 MB, and your browser cannot make it smaller; at most 20 MB can be sent'
    assert site.wait(2) == [Arrival(EVIL+'.heic', None, problem, 0, 2), Arrival('just.heic', bytes(20*2**20), '', 1, 2)]

FIRST_IS_UNREADABLE = '''t => {
  const f = t.files[0]
  f.arrayBuffer = () => Promise.reject(new DOMException('no', 'NotFoundError'))
  const ev = new Event('drop', {bubbles: true, cancelable: true})
  ev.dataTransfer = {files: [f, t.files[1]], types: ['Files']}
  document.querySelector('.ed-area').dispatchEvent(ev)
}'''

def test_file_that_cannot_be_read_is_a_sentence(visitor, site):
    "A folder, or a file that is gone: the browser lists it and fails to read it"
    visitor.page.evaluate(FIRST_IS_UNREADABLE, visitor.transfer(('folder', b''), ('a.png', picture('PNG'))))
    a, b = site.wait(2)
    assert a.data is None and a.problem == 'folder: cannot be read; a folder, or a file that is no longer there'
    assert b.name == 'a.png'

NOISE = '''() => {
  window.ownData = CanvasRenderingContext2D.prototype.getImageData
  const noise = n => Uint8ClampedArray.from({length: n}, (o, i) => i*97 % 256)
  CanvasRenderingContext2D.prototype.getImageData = (x, y, w, h) => ({data: noise(4*w*h)})
}'''

def test_browser_that_blurs_what_is_read_from_a_canvas(visitor, site):
    "Firefox and others against fingerprints: better the file as it is than noise"
    visitor.page.evaluate(NOISE)
    visitor.choose(('a.png', data := picture('PNG', (40,30))))
    assert site.wait()[0].data == data
    visitor.page.evaluate('CanvasRenderingContext2D.prototype.getImageData = ownData; null')

# -- Many

def test_210_are_200_in_order_and_a_sentence(visitor, site):
    files = [(f'{i:03}.png', picture('PNG', (20,20), (i,0,0))) for i in range(200)]
    visitor.choose(*files, *((f'{EVIL}{i}', b'') for i in range(200, 210)))
    visitor.page.locator('.ed-many').filter(has_text=re.compile(r'\d+ of 200')).wait_for()
    photos = site.wait(200, 120)
    visitor.quiet()
    assert [(o.name, o.i, o.n) for o in photos] == [(f'{i:03}.png', i, 200) for i in range(200)]
    for i, o in enumerate(photos): assert near(look(o).getpixel((9,9)), (i,0,0), 6)
    left_out = ', '.join(f'{EVIL}{i}' for i in range(200, 205))
    assert visitor.said == f'At most 200 photos at once. Left out: {left_out} and 5 more.' and visitor.fits()
    visitor.choose((f'{EVIL}.png', picture('PNG'))).quiet()
    assert visitor.said == '' and site.photos[-1].name == f'{EVIL}.png'

COUNT_SENT = '''() => {
  window.sent = 0
  const own = WebSocket.prototype.send
  WebSocket.prototype.send = function (o) {
    if (o.byteLength > 100 && new TextDecoder().decode(o).includes('"do":"photo"')) window.sent++
    return own.call(this, o)
  }
}'''

def test_next_is_sent_when_the_one_before_is_answered(visitor, site):
    page = visitor.page
    page.evaluate(COUNT_SENT)
    visitor.choose(('wait.png', picture('PNG')), ('b.png', picture('PNG')), ('c.png', picture('PNG')))
    site.wait(1)
    visitor.drop(('later.png', picture('PNG'))) # waits for its turn
    spinner = page.locator('.ed-spin')
    spinner.wait_for()
    time.sleep(1)
    assert visitor.said == '1 of 3' and page.evaluate('sent') == 1
    site.go()
    photos = [(o.name, o.i, o.n) for o in site.wait(4)]
    assert photos == [('wait.png', 0, 3), ('b.png', 1, 3), ('c.png', 2, 3), ('later.png', 0, 1)]
    visitor.quiet()
    assert visitor.said == '' and not spinner.is_visible() and page.evaluate('sent') == 4

# -- When Python fails

def test_function_that_raises(visitor, site):
    visitor.choose(('raise.png', picture('PNG')), ('b.png', picture('PNG')))
    assert [o.name for o in site.wait(2)] == ['raise.png', 'b.png']
    visitor.quiet()
    assert visitor.said == 'raise.png: something went wrong on the server; its log says what.'
    assert '/srv/secret' not in visitor.page.content()
    assert 'RuntimeError: /srv/secret is full' in (site.home/'log.txt').read_text()

def test_no_answer_is_a_sentence_and_the_area_works_again(browser, site):
    with Visitor(browser, site.url, clock=True) as v:
        v.choose(('wait.png', picture('PNG')), ('b.png', picture('PNG')))
        site.wait(1)
        v.drop(('behind.png', picture('PNG')))
        v.page.clock.fast_forward(15_000)
        assert v.said == '1 of 2'
        v.page.clock.fast_forward(10_000)
        lost = 'No answer: the connection is lost, or the server is busy or has stopped. Please load the page again.'
        assert v.says('No answer') == lost
        v.quiet()
        site.go() # it was only busy
        v.choose(('c.png', picture('PNG'))).quiet()
        assert [o.name for o in site.wait(2)] == ['wait.png', 'c.png'] and v.said == ''

# -- How it looks

PHONE = dict(width=360, height=740, has_touch=True, is_mobile=True, device_scale_factor=2)

def test_phone(browser, site):
    with Visitor(browser, site.url, permissions=['camera'], **PHONE) as v:
        assert v.fits() and v.area.inner_text() == 'Choose photos'
        for o in v.page.locator('.ed button').all():
            box = o.bounding_box()
            assert box['width'] >= 44 and box['height'] >= 44, box
        snap = v.page.get_by_role('button', name='Take the photo')
        v.button('Take a photo').tap()
        snap.wait_for()
        assert v.fits()
        snap.tap()
        assert site.wait()[0].name == 'camera.jpg'
        names = [f'{i}'+'a'*300 for i in range(203)]
        v.quiet().drop(*((o, b'') for o in names))
        assert v.says('Left out').endswith(f'Left out: {", ".join(names[200:])}.') and v.fits()

ANIMATION = 'o => getComputedStyle(o).animationName'

def test_nothing_jumps_and_the_spinner_stands_still_where_asked(visitor, site):
    boxes = lambda: [o.bounding_box() for o in visitor.page.locator('.ed button').all()]
    visitor.choose(('a.png', picture('PNG'))).quiet()
    before = boxes()
    visitor.choose(('wait.png', picture('PNG')), ('b.png', picture('PNG')))
    spinner = visitor.page.locator('.ed-spin')
    spinner.wait_for()
    assert visitor.said == '1 of 2' and boxes() == before and 'ed-turn' in spinner.evaluate(ANIMATION)
    visitor.page.emulate_media(reduced_motion='reduce')
    assert 'ed-turn' not in spinner.evaluate(ANIMATION)
    site.go()
    visitor.quiet()
    visitor.button('Take a photo').click()
    visitor.says('camera')
    assert boxes() == before

def test_axe_has_nothing_to_say(browser, site):
    with Visitor(browser, site.url, permissions=['camera']) as v:
        schemes = 'light', 'dark'
        def check():
            for scheme in schemes:
                v.page.emulate_media(color_scheme=scheme)
                assert axe(v.page, '.ed') == []
        check()
        v.choose(('raise.png', picture('PNG'))).says('went wrong')
        v.button('Take a photo').click()
        v.page.get_by_role('button', name='Take the photo').wait_for()
        check()

# -- What Python makes of it, without a browser

def test_limits_are_those_of_the_browser():
    js = (static_folder/'drop.js').read_text(encoding='utf-8')
    limits = {name: eval(value) for name, value in re.findall(r'const ([A-Z]+) = ([\de* ]+)', js)}
    assert (limits['SIDE'], limits['MOST'], limits['LIMIT']) == (stored_side, max_photos, max_bytes)
    assert (limits['PIXELS'], limits['WEBP'], limits['LONGEST']) == (max_pixels, max_webp, max_side)

GOOD = dict(do='photo', name='a.jpg', problem='', i=0, n=1)

@pytest.fixture
def area():
    "A `PhotoDrop` with one example, and the list of what it has passed on"
    drop = PhotoDrop([('x', 'x.jpg', b'x')])
    photos = []
    drop.on_photo(photos.append)
    return SimpleNamespace(drop=drop, answer=drop.answer, photos=photos)

def test_names_and_sentences_are_text_and_have_an_end(area):
    "Half of an emoji, say: no table with it could be sent"
    names = {'half \ud83d.jpg': 'half \\xed\\xa0\\xbd.jpg', '\udc80': '\\x80', 'caf\u00e9.jpg': 'caf\u00e9.jpg',
        'a\n\tb': 'a b', ' ': 'photo'}
    for name in names: area.answer(dict(GOOD, name=name), [b'x'])
    assert [o.name for o in area.photos] == [*names.values()]
    wrong = area.answer(dict(GOOD, name='n'*500, problem='\ud83d'*500, id='\ud83d'*500), [])
    long = area.photos[-1]
    assert (len(long.name), len(long.problem), len(wrong['id'].encode()), long.data) == (200, 400, 100, None)
    long.problem.encode()

def test_traits_of_a_visitor_change_nothing(area):
    area.drop.set_state(dict(examples=[dict(alt='y', url='y')]*3))
    for k in range(3): area.answer(dict(do='example', k=k))
    assert [o.data for o in area.photos] == [b'x']
