"The area that takes photos, in a real browser: what arrives in Python, one photo after the other, and what is said where nothing can arrive."
import base64, io, json, logging, os, re, time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
import numpy as np, psutil, pytest
from PIL import Image
from eyewear.page import drop as drop_module, launch as serve_module
from eyewear.page.widgets import Arrival, PhotoDrop, max_bytes, max_photos
from eyewear.core import PhotoError
from eyewear.photo import max_pixels, max_side, max_webp, open_photo, stored_side
from eyewear.predict import Classifier, Prediction
from badphotos import BAD, claims, picture
from conftest import HUSH, axe, comes_true
from oddphotos import odd_photos
from tinymodel import tiny_model

EVIL = '<img src=x onerror=document.title=1>'
CODE = '''
import io, json, os, time
from pathlib import Path
from PIL import Image
from eyewear.page.widgets import PhotoDrop

here = Path(os.environ['DROP_DIR'])
def square(colour):
    b = io.BytesIO(); Image.new('RGB', (64,64), colour).save(b, 'JPEG')
    return b.getvalue()

def keep(a):
    k = len(list(here.glob('*.json')))
    (here/'pid').write_text(str(os.getpid()))
    if a.data is not None: (here/f'{k:04}.bin').write_bytes(a.data)
    (here/f'{k:04}.tmp').write_text(json.dumps([a.name, a.problem, a.i, a.n]))
    (here/f'{k:04}.tmp').rename(here/f'{k:04}.json')
    if a.name.startswith('raise'): raise RuntimeError('/srv/secret is full')
    while a.name.startswith('wait') and not (here/'go').exists(): time.sleep(.05)

drop = PhotoDrop([('A teal <b>square</b>', 'teal.jpg', square('teal')), ('An orange one', 'orange.jpg', square('orange'))], 'Or try one of these:')
drop.on_photo(keep)
drop'''
NOTEBOOK = dict(cells=[dict(cell_type='code', id='a', metadata={}, source=CODE, outputs=[], execution_count=None)], nbformat=4, nbformat_minor=5,
                metadata=dict(title='Drop', kernelspec=dict(name='python3', display_name='python3', language='python')))

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
    "What a process started here says goes to `path`; and a kernel shall not see that this is a test, or it has no terminal"
    os.environ.pop('PYTEST_CURRENT_TEST', None)
    with open(path, 'wb') as f:
        old = os.dup(2)
        try: yield os.dup2(f.fileno(), 2)
        finally: os.dup2(old, 2), os.close(old)

class Site:
    "A page with nothing but the area, and the folder in which each photo is put that arrives"
    def __init__(self, here):
        self.here, self.port = here, serve_module.free_port(0)
        self.url = f'http://127.0.0.1:{self.port}/'
        (here/'drop.ipynb').write_text(json.dumps(NOTEBOOK))
        with terminal(here/'log.txt'): self.proc = serve_module.start_server(here/'drop.ipynb', None, self.port, '127.0.0.1', DROP_DIR=str(here/'in'))
    def clear(self):
        (self.here/'in').mkdir(exist_ok=True)
        for f in (self.here/'in').iterdir(): f.unlink()
    def go(self): (self.here/'in'/'go').touch()
    @property
    def come(self):
        "All that has arrived by now"
        out = []
        for f in sorted((self.here/'in').glob('*.json')):
            data = f.with_suffix('.bin')
            out.append(Arrival(*json.loads(f.read_text())[:1], data.read_bytes() if data.exists() else None, *json.loads(f.read_text())[1:]))
        return out
    def wait(self, n=1, patience=60):
        "The arrivals, once there are `n`"
        end = time.monotonic()+patience
        while len(out := self.come) < n and time.monotonic() < end: time.sleep(.05)
        assert len(out) == n, [o[:1]+o[2:] for o in out]
        return out

@pytest.fixture(scope='module')
def site(tmp_path_factory):
    s = Site(tmp_path_factory.mktemp('drop'))
    try:
        serve_module.wait_for_page(s.proc, s.url)
        yield s
    finally: serve_module.stop_server(s.proc)

@pytest.fixture(autouse=True)
def nothing_has_come(request):
    if 'site' in request.fixturenames or 'visitor' in request.fixturenames: request.getfixturevalue('site').clear()

FILES = '''all => { const t = new DataTransfer()
  for (const [name, parts, type] of all) t.items.add(new File(parts.map(o => typeof o === 'number' ? new Uint8Array(o) : Uint8Array.from(atob(o), c => c.charCodeAt(0))), name, {type}))
  return t }'''

class Visitor:
    "Somebody who looks at the page"
    def __init__(self, browser, url, clock=False, script=None, **context):
        self.context = browser.new_context(**dict(dict(viewport=dict(width=900, height=700)), **context))
        self.page = self.context.new_page()
        self.page.on('filechooser', lambda _: None)     # from the start, else a key may be sooner than Playwright's ear for it
        if script: self.page.add_init_script(script)
        if clock: self.page.clock.install()
        self.page.goto(url)
        self.area.wait_for(timeout=90_000)

    @property
    def area(self): return self.button(re.compile('photos|choose files'))
    @property
    def said(self): return self.page.locator('.ed-say').inner_text()
    def button(self, name): return self.page.get_by_role('button', name=name)
    def close(self): self.context.close()

    def choose(self, *files):
        "Choose files by name and bytes, as they are"
        with self.page.expect_file_chooser() as fc: self.area.click()
        fc.value.set_files([dict(name=n, mimeType='', buffer=d) for n, d in files])
        return self

    def transfer(self, *files):
        "A `DataTransfer` of (name, bytes or a number of zeros, ..)"
        return self.page.evaluate_handle(FILES, [[n, [o if isinstance(o, int) else base64.b64encode(o).decode() for o in parts], ''] for n, *parts in files])

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

    def fits(self): return self.page.evaluate('document.documentElement.scrollWidth <= innerWidth')

@pytest.fixture(scope='module')
def visitor(browser, site):
    v = Visitor(browser, site.url)
    yield v
    assert v.page.title() == 'Drop'                                      # no name of a file was taken for markup
    v.close()

def look(a):
    "The photo that has arrived"
    img = Image.open(io.BytesIO(a.data))
    img.load()
    return img

def near(pixel, colour, by=24): return all(abs(a-b) <= by for a, b in zip(pixel, colour))

# -- Four ways in

def test_chosen(visitor, site):
    visitor.choose(('wide.png', picture('PNG', (2000,1000), 'teal')))
    a, = site.wait()
    img = look(a)
    assert a.name == 'wide.png' and (a.problem, a.i, a.n) == ('', 0, 1) and img.format == 'JPEG' and img.size == (1024,512) and near(img.getpixel((9,9)), (0,128,128))

def test_chosen_again(visitor, site):
    "The input is emptied, or the same file would be no change"
    for n in (1, 2):
        visitor.choose(('same.png', picture('PNG'))).quiet()
        site.wait(n)
        assert visitor.page.locator('.ed input').evaluate('o => o.value') == ''

def test_dropped_on_the_area(visitor, site):
    visitor.page.dispatch_event('.ed-area', 'dragover', dict(dataTransfer=visitor.transfer(('a.png', b''))))
    assert visitor.page.locator('.ed-over').count()
    visitor.page.dispatch_event('html', 'dragleave')
    assert not visitor.page.locator('.ed-over').count()
    visitor.drop(('a.png', picture('PNG', colour='blue')), ('b.png', picture('PNG')))
    a, b = site.wait(2)
    assert (a.name, a.i, a.n, b.name, b.i, b.n) == ('a.png', 0, 2, 'b.png', 1, 2) and near(look(a).getpixel((9,9)), (0,0,255))

def test_dropped_beside_it(visitor, site):
    "The browser would leave the page and show the file"
    prevented = '(t) => !document.body.dispatchEvent(new DragEvent("{}", {{dataTransfer: t, bubbles: true, cancelable: true}}))'
    t = visitor.transfer(('a.png', picture('PNG')))
    assert visitor.page.evaluate(prevented.format('dragover'), t) and visitor.page.evaluate(prevented.format('drop'), t)
    assert site.wait()[0].name == 'a.png'

def test_dropped_on_what_has_its_own_use_for_files(visitor, site):
    visitor.page.evaluate('''document.body.insertAdjacentHTML('beforeend', '<div class="ed" id="other"><button>Another area</button></div>')''')
    visitor.drop(('a.png', picture('PNG')), on='#other button')
    visitor.page.dispatch_event('#other button', 'dragover', dict(dataTransfer=visitor.transfer(('a.png', b''))))
    assert not visitor.page.locator('.ed-over').count()
    visitor.page.evaluate('other.remove()')
    visitor.drop(('b.png', picture('PNG')))
    assert [o.name for o in site.wait()] == ['b.png']

def test_dropped_words_are_no_photo(visitor, site):
    words = visitor.page.evaluate_handle('() => { const t = new DataTransfer(); t.setData("text/plain", "hello"); return t }')
    visitor.page.dispatch_event('.ed-area', 'dragover', dict(dataTransfer=words))
    visitor.page.dispatch_event('.ed-area', 'drop', dict(dataTransfer=words))
    assert 'Nothing here that could be a photo' in visitor.says('Nothing')
    visitor.choose(('a.png', picture('PNG'))).quiet()
    assert visitor.said == '' and len(site.wait()) == 1

def paste(v, data):
    "Copy a picture and press Ctrl-V"
    v.context.grant_permissions(['clipboard-read', 'clipboard-write'])
    v.page.evaluate('''async o => navigator.clipboard.write([new ClipboardItem({'image/png':
        new Blob([Uint8Array.from(atob(o), c => c.charCodeAt(0))], {type: 'image/png'})})])''', base64.b64encode(data).decode())
    v.page.keyboard.press('Control+V')

def test_pasted(visitor, site):
    visitor.page.evaluate('document.activeElement.blur()')
    paste(visitor, picture('PNG', (300,200), 'lime'))
    a, = site.wait()
    assert look(a).size == (300,200) and near(look(a).getpixel((9,9)), (0,255,0))

def test_pasted_where_somebody_writes_is_left_alone(visitor, site):
    visitor.page.evaluate('document.body.append(Object.assign(document.createElement("textarea"), {id: "mine"})); mine.focus()')
    paste(visitor, picture('PNG', colour='red'))
    visitor.page.evaluate('mine.remove()')
    visitor.area.focus()
    paste(visitor, picture('PNG', colour='blue'))
    visitor.quiet()
    a, = site.wait()
    assert near(look(a).getpixel((9,9)), (0,0,255))

def test_pasted_words_are_no_photo(visitor, site):
    visitor.context.grant_permissions(['clipboard-read', 'clipboard-write'])
    visitor.page.evaluate('navigator.clipboard.writeText("hello")')
    visitor.area.focus()
    visitor.page.keyboard.press('Control+V')
    assert 'Nothing here that could be a photo' in visitor.says('Nothing')

def test_example_with_one_click(visitor, site):
    visitor.button('A teal <b>square</b>').click()
    a, = site.wait()
    assert (a.name, a.i, a.n) == ('teal.jpg', 0, 1) and near(look(a).getpixel((9,9)), (0,128,128))

def test_by_key_alone(visitor, site):
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
    tab(visitor.button('An orange one'))
    visitor.page.keyboard.press('Space')
    assert [o.name for o in site.wait(2)] == ['key.png', 'orange.jpg']

# -- The camera

SPY = '''(() => { window.streams = []; const own = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices)
  navigator.mediaDevices.getUserMedia = async o => { const s = await own(o); window.streams.push(s); return s } })()'''
ON = 'streams.filter(s => s.getTracks().some(o => o.readyState === "live")).length'

def test_camera(browser, site):
    v = Visitor(browser, site.url, script=SPY, permissions=['camera'])
    take, dialog = v.button('Take a photo'), v.page.get_by_role('dialog', name='Take a photo')
    take.click()
    snap = dialog.get_by_role('button', name='Take the photo')
    snap.and_(v.page.locator(':focus')).wait_for()                       # once there is a picture
    v.page.keyboard.press('Enter')
    a, = site.wait()
    img = look(a)
    assert a.name == 'camera.jpg' and img.format == 'JPEG' and max(img.size) <= 1024 and len(img.getcolors(10**6) or range(99)) > 3
    assert not dialog.count() and v.page.evaluate('streams.length') == 1 and v.page.evaluate(ON) == 0
    for leave in (lambda: dialog.get_by_role('button', name='Cancel').click(), lambda: v.page.keyboard.press('Escape')):
        take.click()
        dialog.wait_for()
        comes_true(v.page, f'{ON} === 1')
        leave()
        dialog.wait_for(state='detached')
        comes_true(v.page, f'{ON} === 0')                                 # the camera goes off once the dialog is gone
        assert take.evaluate('o => o === document.activeElement')
    assert len(site.come) == 1 and v.page.evaluate('streams.length') == 3
    v.close()

def test_camera_refused_by_the_browser(visitor, site):
    visitor.button('Take a photo').click()
    assert visitor.says('camera') == 'The camera was refused. Allow it for this page in your browser, or choose a photo.'
    visitor.choose(('a.png', picture('PNG'))).quiet()
    assert visitor.said == '' and site.wait()

@pytest.mark.parametrize('error,word', [('NotFoundError', 'no camera'), ('NotReadableError', 'another program'), ('AbortError', 'cannot be used')])
def test_camera_that_fails_is_a_sentence(visitor, error, word):
    visitor.page.evaluate('name => navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", name))', error)
    visitor.button('Take a photo').click()
    assert visitor.says(word).endswith('photo.')
    visitor.page.evaluate('delete navigator.mediaDevices.getUserMedia')

def test_no_button_where_no_camera_can_be(browser, site):
    v = Visitor(browser, site.url, script='Object.defineProperty(navigator, "mediaDevices", {value: undefined})')
    assert v.area.is_visible() and not v.button('Take a photo').count()
    v.close()

# -- Made small

def phone_photo():
    "12 megapixels with a red corner, lying on its side as its EXIF says, and with the place where it was taken"
    a = np.random.default_rng(0).integers(0, 60, (3000,4000,3), dtype=np.uint8)
    a[-800:, :800] = 255, 0, 0                                           # bottom left, which orientation 6 brings to the top left
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x0112], exif[0x010f] = 6, 'Secret Camera Co'
    exif.get_ifd(0x8825).update({1: 'N', 2: (52.0, 31.0, 12.0), 3: 'E', 4: (13.0, 24.0, 36.0)})
    Image.fromarray(a).save(out, 'JPEG', quality=90, exif=exif)
    return out.getvalue()

def test_phone_photo_arrives_small_upright_and_without_its_place(visitor, site):
    data = phone_photo()
    assert len(data) > 3e6 and b'Secret' in data and Image.open(io.BytesIO(data)).getexif().get_ifd(0x8825)
    visitor.choose(('phone.jpg', data))
    a, = site.wait()
    img = look(a)
    assert img.size == (768,1024) and len(a.data) < 400_000 and not img.getexif() and b'Exif' not in a.data and b'Secret' not in a.data
    assert near(img.getpixel((40,40)), (255,0,0)) and max(img.getpixel((700,40))) < 90 and max(img.getpixel((40,990))) < 90

def test_kinds_that_the_browser_knows(visitor, site):
    clear = Image.new('RGBA', (40,30), (0,0,0,0))
    out = io.BytesIO(); clear.save(out, 'PNG')
    frames = [Image.new('RGB', (20,20), o) for o in ('red','blue')]
    gif = io.BytesIO(); frames[0].save(gif, 'GIF', save_all=True, append_images=frames[1:])
    files = [('clear.png', out.getvalue()), ('moves.gif', gif.getvalue()), ('print.jpg', picture('JPEG', (40,30), (0,0,255), 'CMYK')),
             ('new.webp', picture('WEBP', (40,30), 'lime')), ('line.png', picture('PNG', (3000,1)))]
    visitor.choose(*files)
    sizes, pixels = zip(*[(o.size, o.getpixel((0,0))) for o in map(look, site.wait(5))])
    assert sizes == ((40,30), (20,20), (40,30), (40,30), (1024,1))
    assert all(near(a, b, 40) for a, b in zip(pixels, [(255,255,255), (255,0,0), (0,0,255), (0,255,0), (255,0,0)]))

def test_large_file_that_the_browser_can_open(visitor, site):
    visitor.drop(('long.jpg', picture('JPEG', (600,400), 'teal'), 40*2**20))
    a, = site.wait()
    assert look(a).size == (600,400) and len(a.data) < 20_000

# -- As the script sees it

@pytest.fixture(scope='module')
def answers(site, visitor, tmp_path_factory):
    "What a model says of each odd photo: of what the page sends, and of the file itself"
    clf, files = Classifier(tiny_model(tmp_path_factory.mktemp('odd')/'tiny.onnx', quarters=True)), odd_photos()
    site.clear()
    visitor.choose(*files.items())
    come = {o.name: o.data for o in site.wait(len(files), 120)}
    page, script = ([p for _, p in clf.many([photos[o] for o in files])] for photos in (come, files))
    return {name: both for name, *both in zip(files, page, script)}

@pytest.mark.parametrize('name', odd_photos())
def test_page_and_script_answer_alike(answers, name):
    page, script = answers[name]
    assert isinstance(page, Prediction) and isinstance(script, Prediction)
    assert page.label == script.label and all(abs(page.probs[o]-script.probs[o]) < .02 for o in page.probs)

def test_answers_tell_colours_and_places_apart(answers):
    "Or the test above could not fail"
    plain, *others = (answers[o][1].probs for o in ('plain.png', 'p3.png', 'exif6.jpg'))
    for other in others: assert max(abs(plain[o]-other[o]) for o in plain) > .03

# -- What the browser cannot open

def test_it_arrives_as_it_is(visitor, site):
    heic = b'\0\0\0\x18ftypheic\0\0\0\0mif1heic'+np.random.default_rng(0).bytes(200_000)
    files = dict(BAD, **{'phone.heic': heic, 'scan.tif': picture('TIFF'), 'cut2.jpg': phone_photo()[:-1000]})
    visitor.choose(*files.items())
    come = site.wait(len(files))
    assert {o.name: o.data for o in come} == files and [o.i for o in come] == list(range(len(files))) and {o.n for o in come} == {len(files)}

@pytest.mark.parametrize('name, bomb', [('bomb.png', claims(12_000, 12_000)), ('line.png', claims(70_000, 1)), ('wide.webp', None)], ids=['bomb', 'line', 'webp'])
def test_more_pixels_than_python_opens(visitor, site, name, bomb):
    "The browser would open it, and take half a gigabyte and more for it"
    if bomb is None: bomb = picture('WEBP', (8001, 8000), method=0)
    opened = '''() => { const own = window.own ??= createImageBitmap; window.opened = 0; window.createImageBitmap = (...o) => { window.opened++; return own(...o) } }'''
    visitor.page.evaluate(opened)
    visitor.choose((name, bomb), ('a.png', picture('PNG')))
    a, b = site.wait(2)
    assert a.data == bomb and look(b).format == 'JPEG' and visitor.page.evaluate('opened') == 1
    with pytest.raises(PhotoError, match='at most'): open_photo(a.data, a.name)

def test_photo_of_108_megapixels_is_made_small(visitor, site):
    visitor.choose(('phone.jpg', picture('JPEG', (12_000, 9000), 'teal')))
    a, = site.wait()
    assert look(a).size == (1024, 768) and near(look(a).getpixel((9, 9)), (0, 128, 128))

def test_too_large_to_be_sent_is_a_sentence(visitor, site):
    visitor.drop((EVIL+'.heic', 20*2**20+100_000), ('just.heic', 20*2**20))
    a, b = site.wait(2)
    assert a.name == EVIL+'.heic' and a.data is None and (a.i, a.n, b.i, b.n) == (0, 2, 1, 2)
    assert a.problem == EVIL+'.heic: 20.1 MB, and your browser cannot make it smaller; at most 20 MB can be sent'
    assert b.name == 'just.heic' and b.data == bytes(20*2**20)

def test_file_that_cannot_be_read_is_a_sentence(visitor, site):
    "A folder, or a file that is gone: the browser lists it and fails to read it"
    visitor.page.evaluate('''t => { const f = t.files[0]; f.arrayBuffer = () => Promise.reject(new DOMException('no', 'NotFoundError'))
        document.querySelector('.ed-area').dispatchEvent(Object.assign(new Event('drop', {bubbles: true, cancelable: true}), {dataTransfer: {files: [f, t.files[1]], types: ['Files']}})) }''',
        visitor.transfer(('folder', b''), ('a.png', picture('PNG'))))
    a, b = site.wait(2)
    assert a.data is None and a.problem == 'folder: cannot be read; a folder, or a file that is no longer there' and b.name == 'a.png'

def test_browser_that_blurs_what_is_read_from_a_canvas(browser, site):
    "Firefox and others against fingerprints: better the file as it is than noise"
    v = Visitor(browser, site.url, script='''CanvasRenderingContext2D.prototype.getImageData = (x, y, w, h) =>
        ({data: Uint8ClampedArray.from({length: 4*w*h}, (o, i) => i*97 % 256)})''')
    v.choose(('a.png', data := picture('PNG', (40,30))))
    assert site.wait()[0].data == data
    v.close()

# -- Many

def test_205_are_200_in_order_and_a_sentence(visitor, site):
    files = [(f'{i:03}.png', picture('PNG', (20,20), (i,0,0))) for i in range(205)]
    visitor.choose(*files)
    visitor.page.locator('.ed-many').filter(has_text=re.compile(r'\d+ of 200')).wait_for()
    come = site.wait(200, 120)
    visitor.quiet()
    assert [o.name for o in come] == [f'{i:03}.png' for i in range(200)] and [o.i for o in come] == list(range(200)) and {o.n for o in come} == {200}
    assert all(near(look(o).getpixel((9,9)), (i,0,0), 6) for i, o in enumerate(come))
    assert visitor.said == 'At most 200 photos at once. Left out: 200.png, 201.png, 202.png, 203.png, 204.png.'
    visitor.choose(('a.png', picture('PNG'))).quiet()
    assert visitor.said == ''

def test_left_out_with_names_of_markup(visitor, site):
    visitor.drop(*[(f'{EVIL}{i}', b'') for i in range(210)]).quiet()
    assert visitor.said == f"At most 200 photos at once. Left out: {', '.join(f'{EVIL}{i}' for i in range(200, 205))} and 5 more."
    assert site.come[7].name == f'{EVIL}7' and visitor.fits()

def test_next_is_sent_when_the_one_before_is_answered(browser, site):
    v = Visitor(browser, site.url)
    v.page.evaluate('''() => { window.sent = 0; const own = WebSocket.prototype.send
        WebSocket.prototype.send = function (o) { if (o.byteLength > 100 && new TextDecoder().decode(o).includes('"do":"photo"')) window.sent++; return own.call(this, o) } }''')
    v.choose(('wait.png', picture('PNG')), ('b.png', picture('PNG')), ('c.png', picture('PNG')))
    site.wait(1)
    v.drop(('later.png', picture('PNG')))                                 # waits for its turn
    spin = v.page.locator('.ed-spin')
    spin.wait_for()
    time.sleep(1)
    assert v.said == '1 of 3' and v.page.evaluate('sent') == 1
    site.go()
    assert [(o.name, o.i, o.n) for o in site.wait(4)] == [('wait.png', 0, 3), ('b.png', 1, 3), ('c.png', 2, 3), ('later.png', 0, 1)]
    v.quiet()
    assert v.said == '' and not spin.is_visible() and v.page.evaluate('sent') == 4
    v.close()

# -- When Python fails

def test_function_that_raises(visitor, site):
    visitor.choose(('raise.png', picture('PNG')), ('b.png', picture('PNG')))
    assert [o.name for o in site.wait(2)] == ['raise.png', 'b.png']
    visitor.quiet()
    assert visitor.said == 'raise.png: something went wrong on the server; its log says what.' and '/srv/secret' not in visitor.page.content()
    assert 'RuntimeError: /srv/secret is full' in (site.here/'log.txt').read_text()

def test_no_answer_is_a_sentence_and_the_area_works_again(browser, site):
    v = Visitor(browser, site.url, clock=True)
    v.choose(('wait.png', picture('PNG')), ('b.png', picture('PNG')))
    site.wait(1)
    v.drop(('behind.png', picture('PNG')))
    v.page.clock.fast_forward(15_000)
    assert v.said == '1 of 2'
    v.page.clock.fast_forward(10_000)
    assert v.says('No answer') == 'No answer: the connection is lost, or the server is busy or has stopped. Please load the page again.'
    v.quiet()
    site.go()                                                             # it was only busy
    v.choose(('c.png', picture('PNG'))).quiet()
    assert [o.name for o in site.wait(2)] == ['wait.png', 'c.png'] and v.said == ''
    v.close()

def test_kernel_that_is_dead(browser, site):
    v = Visitor(browser, site.url, clock=True)
    v.choose(('a.png', picture('PNG'))).quiet()
    site.wait()
    psutil.Process(int((site.here/'in'/'pid').read_text())).kill()
    v.choose(('b.png', picture('PNG')))
    for _ in range(30):                                                   # the clock of the page goes on when the photo is on its way
        v.page.clock.fast_forward(5_000)
        if 'No answer' in v.said: break
    assert 'No answer' in v.said and len(site.come) == 1
    v.quiet()
    v.close()

# -- How it looks

def test_phone(browser, site):
    v = Visitor(browser, site.url, viewport=dict(width=360, height=740), has_touch=True, is_mobile=True, device_scale_factor=2, permissions=['camera'])
    assert v.fits() and v.area.inner_text() == 'Choose photos'
    for o in v.page.locator('.ed button').all():
        box = o.bounding_box()
        assert box['width'] >= 44 and box['height'] >= 44, box
    v.drop(*[(f'{i}'+'a'*300, b'') for i in range(201)])
    v.says('Left out')
    assert v.fits()
    v.quiet()
    v.button('Take a photo').tap()
    v.page.get_by_role('button', name='Take the photo').wait_for()
    assert v.fits()
    v.page.get_by_role('button', name='Take the photo').tap()
    assert len({o.name for o in site.wait(201)}) == 201
    v.close()

def test_nothing_jumps(visitor, site):
    boxes = lambda: [o.bounding_box() for o in visitor.page.locator('.ed button').all()]
    visitor.choose(('a.png', picture('PNG'))).quiet()
    before = boxes()
    visitor.choose(('wait.png', picture('PNG')), ('b.png', picture('PNG')))
    visitor.page.locator('.ed-spin').wait_for()
    assert visitor.said == '1 of 2' and boxes() == before
    site.go()
    visitor.quiet()
    visitor.button('Take a photo').click()
    visitor.says('camera')
    assert boxes() == before

@pytest.mark.parametrize('motion,names', [('no-preference', ['ed-turn', 'ed-late']), ('reduce', ['ed-late'])])
def test_spinner_waits_and_stands_still_where_asked(visitor, site, motion, names):
    visitor.page.emulate_media(reduced_motion=motion)
    visitor.choose(('wait.png', picture('PNG')))
    visitor.page.locator('.ed-busy').wait_for()
    css = visitor.page.locator('.ed-spin').evaluate('o => { const {animationName, animationDelay} = getComputedStyle(o); return [animationName, animationDelay] }')
    assert css[0].split(', ') == names and css[1].split(', ')[-1] == '0.3s'
    site.go()
    visitor.quiet()
    assert not visitor.page.locator('.ed-spin').is_visible()

@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_axe_has_nothing_to_say(browser, site, scheme):
    v = Visitor(browser, site.url, color_scheme=scheme, permissions=['camera'])
    assert axe(v.page, '.ed') == []
    v.choose(('raise.png', picture('PNG'))).says('went wrong')
    v.button('Take a photo').click()
    v.page.get_by_role('button', name='Take the photo').wait_for()
    assert axe(v.page, '.ed') == []
    v.close()

# -- What Python makes of it, without a browser

def test_limits_are_those_of_the_browser():
    js = (Path(drop_module.__file__).parent/'static'/'drop.js').read_text(encoding='utf-8')
    side, most, limit = map(int, re.search(r'SIDE = (\d+), MOST = (\d+), LIMIT = (\d+) \* 2 \*\* 20,', js).groups())
    pixels, webp, longest = map(float, re.search(r'PIXELS = (\w+), WEBP = (\w+), LONGEST = (\d+)\s', js).groups())
    assert (side, most, limit*2**20) == (stored_side, max_photos, max_bytes) and (pixels, webp, longest) == (max_pixels, max_webp, max_side)

GOOD = dict(do='photo', name='a.jpg', problem='', i=0, n=1)

@pytest.mark.parametrize('msg,buffers', [(None, []), (7, []), ([], []), ({}, []), (dict(GOOD, do='evil'), [b'a']), (dict(GOOD, name=7), [b'a']), (dict(GOOD, name=None), [b'a']),
    (dict(GOOD, i=-1), [b'a']), (dict(GOOD, i=1), [b'a']), (dict(GOOD, i=.5), [b'a']), (dict(GOOD, n=10**9), [b'a']), (dict(GOOD, n=True), [b'a']), (dict(GOOD, problem={}), [b'a']),
    (GOOD, []), (GOOD, [b'a', b'b']), (dict(do='example', k=-1), []), (dict(do='example', k=1), []),
    (dict(do='example', k=True), []), (dict(do='example', k='0'), []), (dict(do='example', k=None), [])])
def test_nonsense_is_left_alone(msg, buffers):
    seen, d = [], PhotoDrop([('x', 'x.jpg', b'x')])
    d.on_photo(seen.append)
    assert d.answer(msg, buffers)['wrong'] == '' and seen == []

@pytest.mark.parametrize('data', [bytes(max_bytes+1), memoryview(np.zeros(max_bytes//8+1))])
def test_photo_over_the_limit_sent_by_hand_is_a_sentence(data):
    seen, d = [], PhotoDrop()
    d.on_photo(seen.append)
    assert d.answer(GOOD, [data])['wrong'] == ''
    assert [(o.data, o.problem) for o in seen] == [(None, 'a.jpg: 20.0 MB; at most 20 MB can be sent')]

def test_names_are_text_whatever_was_sent():
    "Half of an emoji, say: no table with it could be sent"
    seen, d = [], PhotoDrop()
    d.on_photo(seen.append)
    for name in ('half \ud83d.jpg', '\udc80', 'caf\u00e9.jpg'): d.answer(dict(GOOD, name=name), [b'x'])
    d.answer(dict(GOOD, problem='\ud83d'), [])
    assert d.answer(dict(GOOD, id='\ud83d'+'x'*500), [b'x'])['id'].encode()
    assert [o.name for o in seen][:3] == ['half \\xed\\xa0\\xbd.jpg', '\\x80', 'caf\u00e9.jpg']
    for o in seen: (o.name+o.problem).encode()

def test_names_and_sentences_have_an_end():
    seen, d = [], PhotoDrop()
    d.on_photo(seen.append)
    d.answer(dict(GOOD, name='a\n\tb'+'c'*10**6), [b'x'])
    d.answer(dict(GOOD, name=' ', problem='p'*10**6), [])
    assert [len(o.name) for o in seen] == [200, 5] and seen[0].name.startswith('a bc') and len(seen[1].problem) == 400 and seen[1].data is None

def test_traits_of_a_visitor_change_nothing():
    seen, d = [], PhotoDrop([('x', 'x.jpg', b'x')])
    d.on_photo(seen.append)
    d.set_state(dict(examples=[dict(alt='y', url='y')]*3))
    for k in range(3): d.answer(dict(do='example', k=k))
    assert [o.data for o in seen] == [b'x']

def test_each_function_is_called_and_a_failure_logged(capfd, monkeypatch):
    monkeypatch.setattr(logging.getLogger('eyewear.page'), 'handlers', [])    # a handler of an earlier test writes to that test's terminal
    seen, d = [], PhotoDrop()
    def broken(a): raise RuntimeError('/srv/secret is full')
    for f in (broken, seen.append): d.on_photo(f)
    sent = []
    d.send = sent.append
    d._handle_custom_msg(dict(GOOD, id='me-1'), [memoryview(b'abc')])
    assert sent == [dict(id='me-1', wrong='a.jpg: something went wrong on the server; its log says what.')]
    assert seen == [Arrival('a.jpg', b'abc', '', 0, 1)] and '/srv/secret is full' in capfd.readouterr().err
