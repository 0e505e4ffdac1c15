"The review: what Python answers, and the page in a real browser, by key and by mouse; kernels are killed on the way."
import io, json, logging, re, subprocess, sys, time
from importlib.util import find_spec
from types import SimpleNamespace
import numpy as np, psutil, pytest
from PIL import Image
from eyewear.page import launch, review
from eyewear.core import DatasetError, EyewearError
from eyewear.data.dataset import Dataset
from eyewear.data.journal import columns
from eyewear.page.review import Review, load_queue, save_queue
from eyewear.page.assets import static_folder
from eyewear.cli import clean
from browsing import kernels, running
from conftest import axe, comes_true, fetch, jupyterlab, notebook

COLOURS = dict(cups='red', plates='green', spoons='blue')
LABELS = list(COLOURS)
REASONS = 'wrong label', 'odd', 'two labels'

def pattern(colour, i):
    "A PNG of stripes, another for each `i`"
    img = np.asarray(Image.new('RGB', (48, 36), colour)).copy()
    img[:, ::i+2] = i*9
    out = io.BytesIO()
    Image.fromarray(img).save(out, 'PNG')
    return out.getvalue()

def entry_of(i, f, files):
    "What a model would say of the `i`-th photo `f`: mostly the next label, of every eighth photo the one after it"
    label = f.parent.name
    guess = LABELS[(LABELS.index(label)+(2 if i%8 == 7 else 1))%3]
    like = {o: [g.name for g in files if g.parent.name == o and g != f][:4] for o in (label, guess)}
    part = 'valid' if i%4 == 0 else 'train'
    return dict(name=f.name, why=f'{guess} {90-i}%', reason=REASONS[i%3], guess=guess, sure=.9-i/100,
                confidence=.01*(i+1), part=part, like=like)

def make_dataset(path, n=8):
    "`n` photos a label, and a queue of all of them with one more that is gone"
    ds = Dataset.create(path)
    for label, colour in COLOURS.items():
        for i in range(n): ds.add(pattern(colour, i), label)
    files = ds.files()
    queue = [entry_of(i, f, files) for i, f in enumerate(files)]
    save_queue(ds, [*queue, dict(name='gone_0.png', why='too dark', reason='odd')])
    return ds

@pytest.fixture
def ds(tmp_path): return make_dataset(tmp_path/'dishes')

@pytest.fixture
def r(ds): return Review(ds)

def shown(state): return [c['name'] for c in state['cells']]
def queue_names(ds): return [o['name'] for o in load_queue(ds)]
def label_of(ds, name): return ds.find(name).parent.name
def labels_of(ds, names): return [label_of(ds, o) for o in names]

def log(ds):
    "The decisions on disk"
    if not ds.log.exists(): return []
    return [json.loads(o) for o in ds.log.read_text().splitlines()]

# -- What Python answers

def test_first_page(r, ds):
    s = r.state()
    f = s['focus']
    facts = f['name'], f['label'], f['guess'], f['sure'], f['part']
    assert facts == (queue_names(ds)[0], 'cups', 'plates', .9, 'valid')
    assert [(o['label'], len(o['photos'])) for o in f['near']] == [('cups', 4), ('plates', 4)]
    assert json.dumps(s, allow_nan=False), 'a browser reads no NaN'

def test_logged_but_not_moved_is_not_shown_as_done(r, ds, monkeypatch):
    monkeypatch.setattr(Dataset, '_move_to_decision', lambda self, name: None)
    a = queue_names(ds)[0]
    s = r.answer(dict(id=1, do='decide', names=[a], to='plates'))
    assert log(ds)[-1]['name'] == a and not s['cells'][0]['decided']

def test_undo_on_another_day(r, ds):
    a = queue_names(ds)[0]
    for o in ('plates', 'spoons'): r.answer(dict(id=1, do='decide', names=[a], to=o))
    r = Review(Dataset(ds.path))
    labels = []
    for _ in range(2):
        s = r.answer(dict(id=2, do='undo'))
        labels.append((label_of(ds, a), s['seen'], s['focus']['name']))
    assert labels == [('plates', 1, a), ('cups', 0, a)]
    assert r.answer(dict(id=5, do='undo'))['message'] == 'There is nothing to take back.'

def test_undo_takes_back_only_what_a_person_did(r, ds):
    a, b = queue_names(ds)[:2]
    ds.decide(a, 'plates', by='person', why='cleaner')
    ds.decide(b, None, by='rule', why='unreadable')
    for i in range(2): r.answer(dict(id=i, do='undo'))
    assert labels_of(ds, [a, b]) == ['cups', '.removed']

def test_taken_out_photo_can_come_back(r, ds):
    a = queue_names(ds)[0]
    ds.decide(a, None, by='rule', why='unreadable')
    s = r.answer(dict(id=1, do='keep', names=[a]))
    assert 'choose a label' in s['wrong'] and s['seen'] == 0 and s['cells'][0]['out']
    r.answer(dict(id=2, do='decide', names=[a], to='cups'))
    assert label_of(ds, a) == 'cups'

@pytest.fixture
def terminal(capfd, monkeypatch):
    "What goes to the log of the server; a handler of an earlier test writes to that test's terminal"
    monkeypatch.setattr(logging.getLogger('eyewear.page'), 'handlers', [])
    return capfd

@pytest.mark.parametrize('error,words', [
    (OSError(28, 'No space left on device', '/srv/secret'), 'No space left'),
    (RuntimeError('/srv/secret'), 'went wrong')])
def test_one_that_fails_is_said_and_the_rest_go_on(r, ds, monkeypatch, terminal, error, words):
    a, b, c = queue_names(ds)[:3]
    decide = ds.decide
    def fail(name, *args, **kw):
        if name == b: raise error
        return decide(name, *args, **kw)
    monkeypatch.setattr(ds, 'decide', fail)
    s = r.answer(dict(id=1, do='decide', names=[a, b, c, 'gone_0.png'], to='plates'))
    assert labels_of(ds, [a, b, c]) == ['plates', 'cups', 'plates'] and s['message'] == '2 photos: now plates'
    assert s['wrong'].startswith(f'{b}: ') and words in s['wrong'] and 'gone_0.png: no longer on disk.' in s['wrong']
    assert 'secret' not in json.dumps(s) and 'secret' in terminal.readouterr().err

def test_page_never_gets_the_path_of_the_dataset(r, ds, monkeypatch):
    def fail(*args, **kw): raise DatasetError(f'{ds.log}: cannot be written; {ds.path} is full')
    monkeypatch.setattr(ds, 'decide', fail)
    a = queue_names(ds)[0]
    s = r.answer(dict(id=1, do='keep', names=[a]))
    assert s['wrong'] == f'{a}: decisions.jsonl: cannot be written; the dataset is full.'

NONSENSE = [None, 5, {}, dict(do='rm')]
NONSENSE += [dict(do='decide', names=['X'], **o) for o in ({}, dict(to='../..'), dict(to=['cups']))]
NONSENSE += [dict(do='keep', names=o) for o in ([], 'X', ['../manifest.csv'], [None], [['X']])]
VIEWS = [dict(label='knives'), dict(guess='knives'), dict(part=['x']), dict(order='')]
VIEWS += [dict(page='1'), dict(step=.5), dict(focus='/etc/passwd')]
NONSENSE += [dict(do='show', view=o) for o in VIEWS]

@pytest.mark.parametrize('msg', NONSENSE, ids=str)
def test_bad_message_changes_nothing_and_is_a_sentence(r, ds, msg):
    if isinstance(msg, dict) and msg.get('names') == ['X']: msg = dict(msg, names=queue_names(ds)[:1])
    s = r.answer(msg)
    assert s['wrong'].endswith('.') and not log(ds)
    assert len(s['cells']) == 8 and str(ds.path) not in json.dumps(s)

# -- Filters and order

def test_order_by_loss_is_per_label_top_losses_first(r, ds):
    "As in fastai's cleaner"
    entries = {o['name']: o for o in load_queue(ds)}
    names = [o for p in range(3) for o in shown(r.state(dict(order='loss', page=p)))]
    losses = [(o.split('_')[0], -entries[o]['loss']) for o in names]
    assert losses == sorted(losses) and len(losses) == 24

def test_pair_that_no_photo_has_is_an_empty_page(ds):
    s = Review(ds, [], label='cups', guess='spoons').answer(dict(id=1, do='show'))
    assert (s['n'], s['focus'], s['wrong']) == (0, None, '')
    for pair in (dict(label='knives'), dict(guess='knives')):
        with pytest.raises(DatasetError, match="'knives': no label"): Review(ds, **pair)

def test_gone_and_damaged_photos_are_grey_with_their_reason(r, ds):
    a, b = queue_names(ds)[:2]
    ds.find(a).unlink()
    ds.find(b).write_bytes(b'no photo')
    s = r.state(dict(focus=a))
    gone, damaged = s['cells'][:2]
    grey = True, None, f'{a}: no longer on disk', None
    assert (gone['gone'], gone['url'], gone['wrong'], s['focus']['big']) == grey
    assert not damaged['gone'] and damaged['wrong'].startswith(f'{b}: not a photo')
    assert str(ds.path) not in json.dumps(s)
    r.answer(dict(id=1, do='decide', names=[b], to=None))
    assert label_of(ds, b) == '.removed'

def test_queue_of_thousands_opens_at_once(tmp_path, monkeypatch):
    ds = Dataset.create(tmp_path/'many')
    png = pattern('red', 1)
    (ds.path/'cups').mkdir()
    for i in range(5000):
        (ds.path/'cups'/f'cups_{i:016x}.png').write_bytes(png)
        ds.rows.append({k: '' for k in columns} | dict(file=f'cups/cups_{i:016x}.png', label='cups', status='ok'))
    ds.save()
    opened, open_photo = [], review.open_photo
    monkeypatch.setattr(review, 'open_photo', lambda *args: opened.append(args) or open_photo(*args))
    queue = [dict(name=f.name, why='odd') for f in ds.files()]
    start = time.process_time()
    s = Review(ds, queue).answer(dict(id=1, do='show'))
    seconds = time.process_time()-start
    assert len(s['cells']) == 8 and s['pages'] == 625
    assert len(opened) == 9 and seconds < 1, (len(opened), seconds)

def test_queue_file(ds):
    numbers = dict(sure=np.float32(.5), confidence=float('inf'), loss=np.float64(2), extra=np.int64(3))
    save_queue(ds, [dict(numbers, name='a.png'), 'b.png', dict(why='x')])
    path = ds.path/'queue.json'
    saved, = json.loads(path.read_text())
    assert (saved['sure'], saved['confidence'], saved['loss']) == (.5, None, 2)
    for text, words in [('[{"name": "other.png"}]', 'none of its 1'), ('[{', 'cannot be read'), ('5', 'cannot be read')]:
        path.write_text(text)
        with pytest.raises(DatasetError, match=words) as e: load_queue(ds)
        assert 'eyewear-interpret' in str(e.value) and '\n' not in str(e.value)
    path.unlink()
    with pytest.raises(DatasetError, match='no queue yet'): Review(ds)
    assert Review(ds, []).state()['focus'] is None

@pytest.mark.parametrize('name', sorted(o.name for o in static_folder.glob('*.[jc]s*')))
def test_page_asks_nothing_of_other_hosts(name):
    assert not re.search(r'https?:|[^:]//\w+\.|@import|url\(', (static_folder/name).read_text(encoding='utf-8'))

def test_review_waits_for_no_model():
    code = "import sys, eyewear.page.review; sys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0

# -- eyewear-clean

def test_what_is_missing_is_said_before_anything_starts(ds, tmp_path, monkeypatch):
    def no(*a, **k): raise AssertionError('something was started')
    monkeypatch.setattr(subprocess, 'Popen', no)
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path/'home'))
    for path in (None, str(tmp_path/'nowhere')):
        with pytest.raises(DatasetError, match='eyewear-download'): clean(review=True, path=path)
    with pytest.raises(EyewearError, match='port 99999'): clean(review=True, path=str(ds.path), port=99_999)

def test_without_a_model_the_queue_is_made_by_rules(ds, tmp_path, monkeypatch):
    b = queue_names(ds)[1]
    (ds.path/'queue.json').unlink()
    served = []
    monkeypatch.setattr('eyewear.data.duplicates.suspects', lambda ds, features: [dict(name=b, why='too dark')])
    monkeypatch.setattr(launch, 'serve_page', lambda *args, **env: served.append((args, env)))
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path))
    (tmp_path/'current.txt').write_text('dishes')
    clean(review=True) # the dataset used last
    guard = dict(visitors=4, pool=0) # a few tabs, on this machine alone
    assert served == [(('review', 8867), dict(guard=guard, EYEWEAR_DATASET=str(ds.path)))]
    assert queue_names(ds) == [b]

def test_list_and_undo(ds, capsys):
    a = queue_names(ds)[0]
    ds.decide(a, None, by='person', why='blurred')
    clean(path=str(ds.path), list=True)
    assert f'{a} -> removed by person: blurred' in capsys.readouterr().out
    clean(path=str(ds.path), undo='1')
    assert label_of(ds, a) == 'cups'

# -- The page in a browser

SERVE = 'import sys; from eyewear.cli import clean; clean(review=True, path=sys.argv[1], port=0)'

@pytest.fixture(scope='module')
def site(tmp_path_factory):
    "The page of a dataset, served by `eyewear-clean --review`"
    home = tmp_path_factory.mktemp('review')
    ds = make_dataset(home/'dishes')
    with running(SERVE, ds.path, cwd=home) as s:
        assert s.said.startswith(f'25 photos of {ds.path} are in question\n')
        yield SimpleNamespace(ds=ds, url=s.url, proc=s.proc)
    assert s.proc.returncode == 0

class Reviewer:
    "Somebody who decides"
    def __init__(self, page, ds):
        self.page = page
        self.ds = ds
        self.root = page.locator('.er')
        self.cells = page.locator('.er-cell')
    def open(self, url):
        self.page.goto(url)
        return self.ready()
    def ready(self):
        self.cells.first.wait_for(timeout=60_000)
        if self.page.locator('body[data-voila]').count(): self.page.locator('.er:focus').wait_for()
        return self
    @property
    def focus(self): return self.page.locator('.er-title p').first.inner_text().split(' · ')[0]
    @property
    def marks(self): return {o.split('\n')[0] for o in self.page.locator('.er-cell > .er-badge').all_inner_texts()}
    @property
    def names(self): return [o.get_attribute('title') for o in self.page.locator('.er-pic').all()]
    @property
    def n(self): return len(log(self.ds))
    def button(self, name): return self.settled().page.get_by_role('button', name=name, exact=True)
    def field(self, name): return self.page.locator(f'select[data-key={name}]')
    def thumb(self, i): return self.settled().cells.nth(i).locator('button')
    def choose(self, name, value):
        self.page.get_by_label(name).select_option(value)
        return self
    def wait_for(self, selector, text, exact=False):
        self.page.locator(selector).get_by_text(text, exact=exact).first.wait_for()
        return self
    def says(self, text):
        self.page.get_by_role('status').filter(has_text=text).wait_for()
        return self
    def seen(self, n): return self.wait_for('.er-progress', f'{n} of 25 seen')
    def range_is(self, text): return self.wait_for('.er-pager', text, exact=True)
    def wait(self, name):
        "Until the photo `name` is in focus"
        self.page.locator('.er-title').filter(has_text=name).wait_for()
        return self
    def settled(self):
        "Until every question is answered"
        self.page.locator('.er[aria-busy=false]').wait_for()
        return self
    def press(self, key, focus=None):
        self.settled().page.keyboard.press(key)
        return self.wait(focus) if focus else self
    def click(self, name, focus=None):
        self.button(name).click()
        return self.wait(focus) if focus else self

def start_afresh(ds):
    "No person has decided anything"
    ds.undo(by='person')
    ds.log.unlink(missing_ok=True)

@pytest.fixture(scope='module')
def desk(browser, site):
    "A page that stays open"
    page = browser.new_page(viewport=dict(width=1100, height=900))
    page.set_default_timeout(15_000)
    return Reviewer(page, site.ds).open(site.url)

@pytest.fixture
def someone(desk, site):
    "The page as it is when just opened, on a dataset where no person has decided anything"
    start_afresh(site.ds)
    desk.press('Escape')
    for o in ('label', 'guess', 'reason', 'part'): desk.field(o).select_option('')
    desk.page.get_by_label('only undecided').uncheck()
    for o in ('loss', 'suspicious'): desk.field('order').select_option(o)
    desk.root.focus()
    desk.settled().seen(0).wait(queue_names(site.ds)[0])
    yield desk
    assert not re.search(r'Traceback|Error\b|'+re.escape(str(site.ds.path)), desk.page.locator('body').inner_text())

@pytest.fixture
def q(site): return queue_names(site.ds)

def test_page_has_the_focus_when_it_opens(desk, q):
    comes_true(desk.page, 'document.activeElement.className == "er"')
    assert desk.focus == q[0]

def test_decide_by_key(someone, site, q):
    ds = site.ds
    for i, (key, to) in enumerate([('2', 'plates'), (' ', 'cups'), ('x', '.removed')]):
        someone.press(key, q[i+1])
        decision = log(ds)[i] # on disk when the answer comes
        assert (label_of(ds, q[i]), decision['name'], decision['by'], someone.n) == (to, q[i], 'person', i+1)
    someone.seen(3)
    assert someone.marks == {'→ plates', '✓ kept', '✕ out'}
    someone.press('z', q[2]).press('z', q[1]).seen(1)
    assert label_of(ds, q[2]) == 'cups' and someone.n == 5
    someone.press('ArrowRight', q[2]).press('ArrowLeft', q[1]).press('n', q[8]).press('p', q[1])
    someone.press('9').press('q').press('4') # there are three labels
    someone.press('ArrowRight', q[2])
    assert someone.n == 5

def test_decide_by_mouse(someone, site, q):
    ds = site.ds
    someone.click('Label spoons', q[1])
    assert label_of(ds, q[0]) == 'spoons' and someone.n == 1
    someone.thumb(4).click()
    someone.wait(q[4]).click('Take out', q[5])
    assert label_of(ds, q[4]) == '.removed' and someone.n == 2
    someone.press(' ', q[6]) # space keeps, and does not press Take out again
    assert label_of(ds, q[5]) == 'cups' and someone.n == 3
    someone.click('Undo', q[5]).click('Keep', q[6]).click('Next', q[7]).click('Page on', q[8])
    assert someone.n == 5

def test_several_at_once(someone, site, q):
    ds = site.ds
    someone.thumb(1).click()
    someone.wait(q[1]).thumb(3).click(modifiers=['Control'])
    someone.page.get_by_label(f'Choose {q[5]}').check()
    assert someone.page.locator('.er-many').inner_text() == '3 chosen'
    someone.press('3', q[6]).says('3 photos: now spoons')
    assert labels_of(ds, q[:6]) == ['cups', 'spoons']*3 and someone.n == 3
    someone.press('z').seen(0)
    assert labels_of(ds, q[:8]) == ['cups']*8
    someone.thumb(0).click()
    someone.wait(q[0]).thumb(2).click(modifiers=['Shift'])
    someone.click('Take out').seen(3)
    assert labels_of(ds, q[:4]) == ['.removed']*3+['cups']
    someone.press('a').press('2').seen(8)
    assert labels_of(ds, q[:8]) == ['plates']*8
    someone.press('z').seen(3).press('z').seen(0)

def test_filters_and_paging(someone, site):
    entries = {o['name']: o for o in load_queue(site.ds)}
    someone.range_is('1 to 8 of 25')
    someone.choose('Reason', 'two labels').range_is('1 to 8 of 8')
    assert {entries[o]['reason'] for o in someone.names} == {'two labels'}
    someone.choose('Reason', '').choose('Part', 'valid').range_is('1 to 6 of 6')
    assert {entries[o]['part'] for o in someone.names} == {'valid'}
    someone.choose('Order', 'loss').field('label').select_option('plates')
    someone.range_is('1 to 2 of 2')
    losses = [entries[o]['loss'] for o in someone.names]
    assert losses == sorted(losses, reverse=True)
    someone.page.get_by_label('only undecided').check()
    someone.press(' ').range_is('1 to 1 of 1')
    someone.press(' ').wait_for('.er-none', 'All of these are decided.').seen(2)

def test_three_filters_together(someone, site, q):
    someone.field('label').select_option('cups')
    someone.range_is('1 to 8 of 8')
    someone.choose('Model says', 'spoons').range_is('1 to 1 of 1')
    assert someone.names == [q[7]]
    someone.choose('Model says', 'cups').wait_for('.er-none', 'No photo passes these filters.')
    someone.choose('Model says', 'plates').range_is('1 to 7 of 7').choose('Part', 'valid').range_is('1 to 2 of 2')
    options = [someone.field(o).locator('option').all_inner_texts() for o in ('label', 'guess', 'part')]
    labels = ['all', 'cups (8)', 'plates (8)', 'spoons (8)']
    assert options == [labels, labels, ['all', 'train (18)', 'valid (6)']]
    someone.press('2', q[4])
    assert label_of(site.ds, q[0]) == 'plates' and someone.names == [q[0], q[4]]

def test_keys_are_not_taken_from_fields_nor_from_the_browser(someone):
    first = someone.focus
    someone.page.get_by_label('Reason').focus()
    for key in ('x', '2', ' ', 'Escape'): someone.press(key)
    someone.root.focus()
    for key in ('Control+x', 'Alt+1', 'Meta+z'): someone.press(key)
    someone.page.evaluate("window.leaked = []; document.addEventListener('keydown', e => leaked.push(e.key))")
    someone.press('q').press('Control+b')
    assert someone.page.evaluate('leaked.filter(o => o != "Control")') == ['b']
    assert someone.n == 0 and someone.focus == first

def test_kernel_killed_and_page_closed_lose_nothing(browser, site, q):
    start_afresh(site.ds)
    ds = site.ds
    others = kernels(site.proc)
    def kill_kernel():
        for o in kernels(site.proc):
            if o not in others: o.kill() # SIGKILL
    page = browser.new_page()
    page.clock.install()
    who = Reviewer(page, ds).open(site.url)
    who.press('2', q[1])
    kill_kernel()
    who.press('x')
    page.clock.fast_forward(5000)
    who.says('No answer')
    assert who.n == 1 and label_of(ds, q[1]) == 'cups' and who.focus == q[1] and who.marks == {'→ plates'}
    for key in 'x3': page.keyboard.press(key) # nothing more is taken
    assert who.n == 1 and page.get_by_role('button', name='Ask again').is_visible()
    page.reload()
    who.ready().seen(1).wait(q[1])
    assert who.marks == {'→ plates'}
    who.press('3', q[2])
    assert label_of(ds, q[1]) == 'spoons' and who.n == 2
    who.press('a').press('x') # eight at once, killed on the way or just after
    end = time.monotonic()+10
    while who.n < 5 and time.monotonic() < end: time.sleep(.001)
    kill_kernel()
    page.close()
    page = browser.new_page()
    last = {e['name']: e['to'] or '.removed' for e in log(ds)}
    Reviewer(page, ds).open(site.url).seen(len(last))
    assert who.n >= 5 and labels_of(ds, last) == [*last.values()]
    page.close()

def test_photo_that_vanished_is_passed_over(someone, site, q):
    path = site.ds.find(q[1])
    data = path.read_bytes()
    try:
        path.unlink()
        someone.press('1', q[2])
        assert 'no longer on disk' in someone.cells.nth(1).inner_text()
        someone.press('ArrowLeft', q[1])
        someone.press('x').press('ArrowRight', q[2])
        assert someone.n == 1
    finally: path.write_bytes(data)

def test_busy_kernel_says_saving_then_goes_on(someone, site, q):
    stopped = kernels(site.proc)
    for o in stopped: o.suspend()
    try: someone.press('2').says('Saving…')
    finally:
        for o in stopped: o.resume()
    someone.wait(q[1]).seen(1)
    assert someone.n == 1

DARK = """getComputedStyle(document.querySelector('.er')).backgroundColor.match(/\\d+/g).slice(0, 3).every(o => o < 128)"""
FITS = "[...document.querySelectorAll('.er, .er *')].every(o => o.getBoundingClientRect().right <= innerWidth)"

def test_phone_in_the_dark(someone, site, q):
    page = someone.page
    assert not page.evaluate(DARK)
    page.set_viewport_size(dict(width=360, height=740))
    page.emulate_media(color_scheme='dark')
    comes_true(page, FITS)
    comes_true(page, DARK)
    someone.click('Label plates', q[1])
    assert label_of(site.ds, q[0]) == 'plates'
    page.set_viewport_size(dict(width=1100, height=900))
    page.emulate_media(color_scheme='light')

def test_axe_has_nothing_to_say(someone): assert axe(someone.page, '.er') == []

# -- In JupyterLab

CELL = '''from eyewear.data.dataset import Dataset
from eyewear.page.review import Review
Review(Dataset('dishes'), label='cups', guess='plates')'''

@pytest.fixture
def lab(tmp_path):
    "Address of a JupyterLab with one notebook"
    make_dataset(tmp_path/'dishes')
    (tmp_path/'a.ipynb').write_text(notebook(CELL))
    with jupyterlab(tmp_path) as url: yield url

@pytest.mark.skipif(find_spec('jupyterlab') is None, reason='the light environment has no JupyterLab')
def test_in_jupyterlab(browser, lab, tmp_path):
    page = browser.new_page(viewport=dict(width=1300, height=1100))
    page.goto(lab+'lab/tree/a.ipynb')
    ds = Dataset(tmp_path/'dishes')
    q = queue_names(ds)
    who = Reviewer(page, ds)
    def run_cell():
        page.get_by_text('| Idle').wait_for(timeout=60_000)
        page.locator('.jp-Notebook .cm-content').first.click()
        page.keyboard.press('Shift+Enter')
    run_cell()
    who.ready().range_is('1 to 7 of 7') # the pair that the cell opens it for
    assert (who.field('label').input_value(), who.field('guess').input_value()) == ('cups', 'plates')
    page.locator('.er-big').click()
    who.press('2', q[1]).press('x', q[2]).press('a').press('z', q[1])
    assert labels_of(ds, q[:2]) == ['plates', 'cups'] and who.n == 3
    assert page.locator('.jp-Notebook .jp-CodeCell').count() == 2 # x, z and a are Jupyter's too: nothing was cut
    kernel, = fetch(lab+'api/kernels')
    for o in psutil.process_iter(['cmdline']):
        if kernel['id'] in ' '.join(o.info['cmdline'] or []): o.kill()
    page.locator('.jp-Dialog button').last.click() # JupyterLab says that the kernel died
    page.get_by_text('| Idle').wait_for()
    page.locator('.er-big').click()
    who.press('3').says('No answer')
    assert who.n == 3
    run_cell()
    who.seen(1).wait(q[1])
    page.locator('.er-wrong').wait_for(state='detached')
    page.close()
