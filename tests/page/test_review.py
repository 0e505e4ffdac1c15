"The review: what Python answers, and the page in a real browser, driven by key and by mouse; kernels are killed on the way."
import io, json, os, re, shutil, signal, subprocess, sys, time, urllib.request
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
import numpy as np, psutil, pytest
from PIL import Image
from eyewear import clean as clean_module
from eyewear.page import review, launch as serve_module
from eyewear.core import DatasetError, EyewearError
from eyewear.data.dataset import Dataset
from eyewear.data.journal import columns
from eyewear.page.review import Review, load_queue, save_queue
from eyewear.cli import clean
from conftest import comes_true

LABELS = dict(cups='red', plates='green', spoons='blue')
STATIC = Path(review.__file__).parent/'static'

def pattern(color, i):
    "A PNG of stripes, another for each `i`"
    img = np.asarray(Image.new('RGB', (48, 36), color)).copy()
    img[:, ::i+2] = i*9
    out = io.BytesIO()
    Image.fromarray(img).save(out, 'PNG')
    return out.getvalue()

def make_dataset(path, n=8):
    "`n` photos a label, and a queue of all of them, the last one gone; near and guess as a model would say"
    ds = Dataset.create(path)
    for label, color in LABELS.items():
        for i in range(n): ds.add(pattern(color, i), label)
    files, labels, queue = ds.files(), list(LABELS), []
    for i, f in enumerate(files):
        mine, guess = f.parent.name, labels[(labels.index(f.parent.name)+1)%3]
        like = {o: [g.name for g in files if g.parent.name == o and g != f][:4] for o in (mine, guess)}
        queue.append(dict(name=f.name, why=f'{guess} {90-i}%', reason=('wrong label', 'odd', 'two labels')[i%3], guess=guess, sure=.9-i/100,
                          confidence=.01*(i+1), part='valid' if i%4 == 0 else 'train', like=like))
    save_queue(ds, [*queue, dict(name='gone_0.png', why='too dark', reason='odd')])
    return ds

@pytest.fixture
def ds(tmp_path): return make_dataset(tmp_path/'dishes')

@pytest.fixture
def r(ds): return Review(ds)

def names(state): return [c['name'] for c in state['cells']]
def log(ds): return [json.loads(o) for o in ds.log.read_text().splitlines()] if ds.log.exists() else []
def queue_names(ds): return [o['name'] for o in load_queue(ds)]
def at(ds, name): return ds.find(name).parent.name

# -- What Python answers

def test_message_is_answered_with_its_id(r, monkeypatch):
    sent = []
    monkeypatch.setattr(r, 'send', sent.append)
    r._handle_custom_msg(dict(id='me-1', do='show'), [])
    assert sent[0]['id'] == 'me-1' and len(sent[0]['cells']) == 8 and json.dumps(sent, allow_nan=False)

def test_first_page(r, ds):
    s = r.state()
    assert names(s) == queue_names(ds)[:8] and (s['total'], s['seen'], s['pages'], s['page']) == (25, 0, 4, 0)
    f = s['focus']
    assert (f['name'], f['label'], f['guess'], f['sure'], f['part']) == (names(s)[0], 'cups', 'plates', .9, 'valid')
    assert [(o['label'], len(o['photos'])) for o in f['near']] == [('cups', 4), ('plates', 4)]
    assert all(c['url'].startswith('data:image/jpeg;base64,') for c in s['cells'])

@pytest.mark.parametrize('msg,now', [(dict(do='decide', to='spoons'), 'spoons'), (dict(do='decide', to=None), '.removed'), (dict(do='keep'), 'cups')])
def test_decision_is_on_disk_when_the_answer_comes(r, ds, msg, now):
    a, b = queue_names(ds)[:2]
    s = r.answer(dict(msg, id=1, names=[a]))
    assert at(ds, a) == now and [(e['name'], e['by'], e['why'].split(': ')[1]) for e in log(ds)] == [(a, 'person', 'plates 90%')]
    assert s['focus']['name'] == b and s['seen'] == 1 and s['cells'][0]['decided'] and s['said'].startswith(a) and not s['wrong']
    assert Review(Dataset(ds.path)).state()['cells'] == s['cells']                       # a new kernel says the same

def test_log_is_written_before_the_photo_moves(r, ds, monkeypatch):
    a, = queue_names(ds)[:1]
    seen = []
    monkeypatch.setattr(Dataset, '_settle', lambda self, name: seen.append(log(ds)[-1]['name']))
    s = r.answer(dict(id=1, do='decide', names=[a], to='plates'))
    assert seen == [a] and not s['cells'][0]['decided']                                  # the photo is not there yet: not shown as done
    monkeypatch.undo()
    assert Review(Dataset(ds.path)).state()['cells'][0]['decided'] and at(ds, a) == 'plates' # finished at the next opening

def test_several_at_once_are_one_step_back(r, ds):
    some = queue_names(ds)[:3]
    r.answer(dict(id=1, do='decide', names=some[:1], to='plates'))
    s = r.answer(dict(id=2, do='decide', names=some, to='spoons'))
    assert s['seen'] == 3 and {at(ds, o) for o in some} == {'spoons'} and len(log(ds)) == 4
    r = Review(Dataset(ds.path))                                                         # another day
    s = r.answer(dict(id=3, do='undo'))
    assert [at(ds, o) for o in some] == ['plates', 'cups', 'cups'] and s['seen'] == 1 and s['focus']['name'] == some[0]
    s = r.answer(dict(id=4, do='undo'))
    assert {at(ds, o) for o in some} == {'cups'} and s['seen'] == 0
    assert r.answer(dict(id=5, do='undo'))['said'] == 'There is nothing to take back.'

def test_undo_takes_back_only_what_a_person_did(r, ds):
    a, b = queue_names(ds)[:2]
    ds.decide(a, 'plates', by='person', why='cleaner')
    ds.decide(b, None, by='rule', why='unreadable')
    r.answer(dict(id=1, do='undo')); r.answer(dict(id=2, do='undo'))
    assert (at(ds, a), at(ds, b)) == ('cups', '.removed')

def test_taken_out_photo_can_come_back(r, ds):
    a, = queue_names(ds)[:1]
    ds.decide(a, None, by='rule', why='unreadable')
    s = r.answer(dict(id=1, do='keep', names=[a]))
    assert 'choose a label' in s['wrong'] and s['seen'] == 0 and s['cells'][0]['out']
    r.answer(dict(id=2, do='decide', names=[a], to='cups'))
    assert at(ds, a) == 'cups'

@pytest.mark.parametrize('error,word', [(OSError(28, 'No space left on device', '/srv/secret'), 'No space left'), (RuntimeError('/srv/secret'), 'went wrong')])
def test_one_that_fails_is_said_and_the_rest_go_on(r, ds, monkeypatch, capfd, error, word):
    a, b, c = queue_names(ds)[:3]
    decide = ds.decide
    def fail(name, *args, **kw):
        if name == b: raise error
        return decide(name, *args, **kw)
    monkeypatch.setattr(ds, 'decide', fail)
    s = r.answer(dict(id=1, do='decide', names=[a, b, c, 'gone_0.png'], to='plates'))
    assert [at(ds, o) for o in (a, b, c)] == ['plates', 'cups', 'plates'] and s['said'] == '2 photos: now plates'
    assert s['wrong'].startswith(f'{b}: ') and word in s['wrong'] and 'gone_0.png: no longer on disk.' in s['wrong']
    assert 'secret' not in json.dumps(s) and 'secret' in capfd.readouterr().err

def test_page_never_reads_where_the_dataset_lies(r, ds, monkeypatch):
    def fail(*args, **kw): raise DatasetError(f'{ds.log}: cannot be written; {ds.path} is full')
    monkeypatch.setattr(ds, 'decide', fail)
    a = queue_names(ds)[0]
    assert r.answer(dict(id=1, do='keep', names=[a]))['wrong'] == f'{a}: decisions.jsonl: cannot be written; the dataset is full.'

BAD = [None, 5, {}, dict(do='rm'), dict(do='decide', names=['X']), dict(do='decide', names=['X'], to='../..'), dict(do='decide', names=['X'], to=['cups']),
       dict(do='keep', names=[]), dict(do='keep', names='X'), dict(do='keep', names=['../manifest.csv']), dict(do='keep', names=[None]), dict(do='keep', names=[['X']]),
       *(dict(do='show', view=o) for o in (dict(label='knives'), dict(order=''), dict(page='1'), dict(step=.5), dict(focus='/etc/passwd'), dict(part=['x'])))]

@pytest.mark.parametrize('msg', BAD, ids=str)
def test_bad_message_changes_nothing_and_is_a_sentence(r, ds, msg):
    a = queue_names(ds)[0]
    if isinstance(msg, dict) and isinstance(msg.get('names'), list): msg = dict(msg, names=[a if o == 'X' else o for o in msg['names']])
    s = r.answer(msg)
    assert s['wrong'].endswith('.') and not log(ds) and len(s['cells']) == 8 and str(ds.path) not in json.dumps(s)

def test_page_out_of_range_is_the_last_or_the_first(r):
    assert [r.state(dict(page=o))['page'] for o in (-3, 1, 10**9)] == [0, 1, 3]
    first = r.state()['focus']['name']
    assert r.state(dict(focus=first, step=-1))['focus']['name'] == first

def test_filters_and_order(r, ds):
    items = {o['name']: o for o in load_queue(ds)}
    for k, v in dict(reason='odd', part='train').items():
        assert {items[o][k] for o in names(r.state({k: v}))} == {v}
    assert all(o.startswith('plates') for o in names(r.state(dict(label='plates'))))
    loss = [(o.split('_')[0], -items[o]['loss']) for p in range(3) for o in names(r.state(dict(order='loss', page=p)))]
    assert loss == sorted(loss) and len(loss) == 24                                      # as in fastai's cleaner: per label, top losses first
    s = r.state(dict(label='cups', part='valid', order='loss'))
    assert s['n'] == 2 and dict(s['options']['part']) == dict(train=18, valid=6)

def test_relabelled_photo_stays_under_its_filter_until_only_undecided(r, ds):
    a, b = queue_names(ds)[:2]
    view = dict(label='cups')
    s = r.answer(dict(id=1, do='decide', names=[a], to='plates', view=view))
    assert names(s)[0] == a and s['focus']['name'] == b
    s = r.answer(dict(id=2, do='keep', names=[b], view=dict(view, only=True)))
    assert a not in names(s) and b not in names(s) and s['n'] == 6

def test_focus_goes_round_and_passes_over_what_is_gone(r, ds):
    all_names = queue_names(ds)
    s = r.answer(dict(id=1, do='keep', names=[all_names[-2]], view=dict(focus=all_names[-2])))
    assert s['focus']['name'] == all_names[0]
    s = r.answer(dict(id=2, do='keep', names=all_names[:-1]))
    assert s['seen'] == 24 and r.state(dict(only=True))['n'] == 0

def test_gone_and_damaged_photos_are_grey_with_their_reason(r, ds):
    a, b = queue_names(ds)[:2]
    ds.find(a).unlink()
    ds.find(b).write_bytes(b'no photo')
    s = r.state(dict(focus=a))
    assert s['cells'][0]['gone'] and s['cells'][0]['url'] is None and s['cells'][0]['wrong'] == f'{a}: no longer on disk' and s['focus']['big'] is None
    assert not s['cells'][1]['gone'] and s['cells'][1]['wrong'].startswith(f'{b}: not a photo') and str(ds.path) not in json.dumps(s)
    r.answer(dict(id=1, do='decide', names=[b], to=None))
    assert at(ds, b) == '.removed'

def test_queue_of_thousands_opens_at_once(tmp_path, monkeypatch):
    ds, png = Dataset.create(tmp_path/'many'), pattern('red', 1)
    (ds.path/'cups').mkdir()
    for i in range(5000):
        (ds.path/'cups'/f'cups_{i:016x}.png').write_bytes(png)
        ds.rows.append({k: '' for k in columns} | dict(file=f'cups/cups_{i:016x}.png', label='cups', status='ok'))
    ds.save()
    made, open_photo = [], review.open_photo
    monkeypatch.setattr(review, 'open_photo', lambda *a: made.append(a) or open_photo(*a))
    queue = [dict(name=f.name, why='odd') for f in ds.files()]
    t = time.process_time()
    s = Review(ds, queue).answer(dict(id=1, do='show'))
    took = time.process_time()-t
    assert len(s['cells']) == 8 and s['pages'] == 625 and len(made) == 9 and took < 1, (len(made), took)

def test_queue_file(ds, tmp_path):
    save_queue(ds, [dict(name='a.png', sure=np.float32(.5), confidence=float('inf'), loss=np.float64(2), extra=np.int64(3)), 'b.png', dict(why='x')])
    kept, = json.loads((ds.path/'queue.json').read_text())
    assert (kept['sure'], kept['confidence'], kept['loss']) == (.5, None, 2)
    for text, word in [(json.dumps([dict(name='other.png')]), 'none of its 1'), ('[{', 'cannot be read'), ('5', 'cannot be read')]:
        (ds.path/'queue.json').write_text(text)
        with pytest.raises(DatasetError, match=word) as e: load_queue(ds)
        assert 'eyewear-interpret' in str(e.value) and '\n' not in str(e.value)
    (ds.path/'queue.json').unlink()
    with pytest.raises(DatasetError, match='no queue yet'): Review(ds)
    assert Review(ds, []).state()['focus'] is None

def test_colab_is_told_to_draw_widgets(ds, monkeypatch):
    from anywidget._util import enable_custom_widget_manager_once as once
    calls, output = [], ModuleType('google.colab.output')
    output.enable_custom_widget_manager = lambda: calls.append(1)
    monkeypatch.setitem(sys.modules, 'google.colab', ModuleType('google.colab'))
    monkeypatch.setitem(sys.modules, 'google.colab.output', output)
    once.cache_clear()
    Review(ds); Review(ds)
    once.cache_clear()
    assert calls == [1]

def test_page_asks_nothing_of_other_hosts():
    for f in ('review.js', 'review.css'): assert not re.search(r'https?:|//\w+\.|@import|url\(', (STATIC/f).read_text())

# -- eyewear-clean

def test_what_is_missing_is_said_before_anything_starts(ds, tmp_path, monkeypatch):
    def no(*a, **k): raise AssertionError('something was started')
    monkeypatch.setattr(subprocess, 'Popen', no)
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path/'home'))
    with pytest.raises(DatasetError, match='eyewear-download'): clean(review=True)
    with pytest.raises(DatasetError, match='eyewear-download'): clean(review=True, path=str(tmp_path/'nowhere'))
    with pytest.raises(EyewearError, match='port 99999'): clean(review=True, path=str(ds.path), port=99_999)

def test_without_a_model_the_queue_is_made_by_rules(ds, tmp_path, monkeypatch):
    a, b = queue_names(ds)[:2]
    (ds.path/'queue.json').unlink()
    served = []
    monkeypatch.setattr(clean_module, 'suspects', lambda ds: [dict(name=b, why='too dark')])
    monkeypatch.setattr(serve_module, 'serve_page', lambda *args, **env: served.append((args, env)))
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path))
    (tmp_path/'current.txt').write_text('dishes')
    clean(review=True)                                                                   # the dataset used last
    guard = dict(visitors=4, pool=0)                                    # a few tabs, on this machine alone
    assert served == [(('review', 8867), dict(guard=guard, EYEWEAR_DATASET=str(ds.path)))] and queue_names(ds) == [b]

def test_other_options_do_what_they_did(ds, capsys):
    a = queue_names(ds)[0]
    ds.decide(a, None, by='person', why='blurred')
    clean(path=str(ds.path), list=True)
    assert f'{a} -> removed by person: blurred' in capsys.readouterr().out
    clean(path=str(ds.path), undo='1')
    assert at(ds, a) == 'cups'

# -- The page in a browser

SERVE = 'import sys; from eyewear.cli import clean; clean(review=True, path=sys.argv[1], port=0)'

@pytest.fixture(scope='module')
def site(tmp_path_factory):
    home = tmp_path_factory.mktemp('review')
    ds = make_dataset(home/'dishes')
    env = dict(os.environ, EYEWEAR_HOME=str(home))
    proc = subprocess.Popen([sys.executable, '-c', SERVE, ds.path], cwd=home, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        first, line = proc.stdout.readline(), proc.stdout.readline()
        assert first == f'25 photos of {ds.path} are in question\n' and line.endswith('(Ctrl-C ends it)\n'), proc.stderr.read()
        yield SimpleNamespace(ds=ds, url=re.search(r'http://127\.0\.0\.1:\d+/', line)[0], proc=proc)
    finally:
        proc.send_signal(signal.SIGINT)
        try: assert proc.wait(30) == 0
        finally: proc.kill()

class Reviewer:
    "Somebody who decides"
    def __init__(self, page, ds): self.page, self.ds = page, ds
    def open(self, url):
        self.page.goto(url)
        return self.ready()
    def ready(self):
        self.page.locator('.er-cell').first.wait_for(timeout=60_000)
        if self.page.locator('body[data-voila]').count(): self.page.locator('.er:focus').wait_for()
        return self
    @property
    def root(self): return self.page.locator('.er')
    @property
    def focus(self): return self.page.locator('.er-title p').first.inner_text().split(' · ')[0]
    @property
    def cells(self): return self.page.locator('.er-cell')
    @property
    def marks(self): return {o.split('\n')[0] for o in self.page.locator('.er-cell > .er-badge').all_inner_texts()}
    @property
    def n(self): return len(log(self.ds))
    def button(self, name): return self.settled().page.get_by_role('button', name=name, exact=True)
    def thumb(self, i): return self.settled().cells.nth(i).locator('button')
    def says(self, text):
        self.page.get_by_role('status').filter(has_text=text).wait_for()
        return self
    def seen(self, n):
        self.page.get_by_text(f'{n} of 25 seen').wait_for()
        return self
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

def afresh(ds):
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
    afresh(site.ds)
    desk.press('Escape')
    for o in ('label', 'reason', 'part'):
        if (field := desk.page.locator(f'select[data-key={o}]')).count(): field.select_option('')
    desk.page.get_by_label('only undecided').uncheck()
    for o in ('loss', 'suspicious'): desk.page.get_by_label('Order').select_option(o)
    desk.root.focus()
    desk.settled().seen(0).wait(queue_names(site.ds)[0])
    yield desk
    assert not re.search(r'Traceback|Error\b|'+re.escape(str(site.ds.path)), desk.page.locator('body').inner_text())

def test_page_has_the_focus_when_it_opens(desk, site):
    comes_true(desk.page, 'document.activeElement.className == "er"')
    assert desk.focus == queue_names(site.ds)[0]

def test_decide_by_key(someone, site):
    q, ds = queue_names(site.ds), site.ds
    someone.press('2', q[1])
    assert at(ds, q[0]) == 'plates' and someone.n == 1
    someone.press(' ', q[2])
    assert at(ds, q[1]) == 'cups' and someone.n == 2
    someone.press('x', q[3])
    assert at(ds, q[2]) == '.removed' and someone.n == 3
    someone.seen(3)
    assert someone.marks == {'→ plates', '✓ kept', '✕ out'}
    someone.press('z', q[2]).press('z', q[1]).seen(1)
    assert at(ds, q[2]) == 'cups' and someone.n == 5
    someone.press('ArrowRight', q[2]).press('ArrowLeft', q[1]).press('n', q[8]).press('p', q[1])
    someone.press('9').press('q').press('4')                             # there are three labels
    someone.press('ArrowRight', q[2])
    assert someone.n == 5

def test_decide_by_mouse(someone, site):
    q, ds = queue_names(site.ds), site.ds
    someone.button('Label spoons').click()
    someone.wait(q[1])
    assert at(ds, q[0]) == 'spoons' and someone.n == 1
    someone.thumb(4).click()
    someone.wait(q[4])
    someone.button('Take out').click()
    someone.wait(q[5])
    assert at(ds, q[4]) == '.removed' and someone.n == 2
    someone.press(' ', q[6])                                             # space keeps, and does not press Take out again
    assert at(ds, q[5]) == 'cups' and someone.n == 3
    someone.button('Undo').click()
    someone.wait(q[5])
    someone.button('Keep').click()
    someone.wait(q[6])
    someone.button('Next').click()
    someone.wait(q[7])
    someone.button('Page on').click()
    someone.wait(q[8])
    assert someone.n == 5

def test_several_at_once(someone, site):
    q, ds = queue_names(site.ds), site.ds
    someone.thumb(1).click()
    someone.wait(q[1])
    someone.thumb(3).click(modifiers=['Control'])
    someone.page.get_by_label(f'Choose {q[5]}').check()
    assert someone.page.locator('.er-many').inner_text() == '3 chosen'
    someone.press('3', q[6]).says('3 photos: now spoons')
    assert [at(ds, q[i]) for i in range(6)] == ['cups', 'spoons', 'cups', 'spoons', 'cups', 'spoons'] and someone.n == 3
    someone.press('z').seen(0)
    assert {at(ds, o) for o in q[:8]} == {'cups'}
    someone.thumb(0).click()
    someone.wait(q[0])
    someone.thumb(2).click(modifiers=['Shift'])
    someone.button('Take out').click()
    someone.seen(3)
    assert [at(ds, o) for o in q[:4]] == ['.removed']*3+['cups']
    someone.press('a').press('2').seen(8)
    assert {at(ds, o) for o in q[:8]} == {'plates'}
    someone.press('z').seen(3).press('z').seen(0)

def test_filters_and_paging(someone, site):
    items = {o['name']: o for o in load_queue(site.ds)}
    shown = lambda: [o.get_attribute('title') for o in someone.page.locator('.er-pic').all()]
    range_is = lambda text: someone.page.locator('.er-pager').get_by_text(text, exact=True).wait_for()
    range_is('1 to 8 of 25')
    someone.page.get_by_label('Reason').select_option('two labels')
    range_is('1 to 8 of 8')
    assert {items[o]['reason'] for o in shown()} == {'two labels'}
    someone.page.get_by_label('Reason').select_option('')
    someone.page.get_by_label('Part').select_option('valid')
    range_is('1 to 6 of 6')
    someone.page.get_by_label('Order').select_option('loss')
    someone.page.locator('select[data-key=label]').select_option('plates')
    range_is('1 to 2 of 2')
    loss = [items[o]['loss'] for o in shown()]
    assert loss == sorted(loss, reverse=True)
    someone.page.get_by_label('only undecided').check()
    someone.settled().root.press(' ')
    range_is('1 to 1 of 1')
    someone.settled().root.press(' ')
    someone.page.locator('.er-none').get_by_text('All of these are decided.').wait_for()
    someone.seen(2)

def test_keys_are_not_taken_from_fields_nor_from_the_browser(someone, site):
    first = someone.focus
    someone.page.get_by_label('Reason').focus()
    for key in ('x', '2', ' ', 'Escape'): someone.press(key)
    someone.root.focus()
    for key in ('Control+x', 'Alt+1', 'Meta+z'): someone.press(key)
    someone.page.evaluate("window.leaked = []; document.addEventListener('keydown', e => leaked.push(e.key))")
    someone.press('q').press('Control+b')
    assert someone.page.evaluate('leaked.filter(o => o != "Control")') == ['b'] and someone.n == 0 and someone.focus == first

def kernels(proc): return [o for o in psutil.Process(proc.pid).children(recursive=True) if 'ipykernel' in ' '.join(o.cmdline())]

def test_kernel_killed_and_page_closed_lose_nothing(browser, site):
    afresh(site.ds)
    q, ds, page = queue_names(site.ds), site.ds, browser.new_page()
    before = kernels(site.proc)
    def killed():
        for o in kernels(site.proc):
            if o not in before: o.kill()                                 # SIGKILL
    who = Reviewer(page, ds).open(site.url)
    who.press('2', q[1])
    killed()
    who.press('x').says('No answer')
    assert who.n == 1 and at(ds, q[1]) == 'cups' and who.focus == q[1] and who.marks == {'→ plates'}
    for key in 'x3': page.keyboard.press(key)                            # nothing more is taken
    assert who.n == 1 and page.get_by_role('button', name='Ask again').is_visible()
    page.reload()
    who.ready().seen(1).wait(q[1])
    assert who.marks == {'→ plates'}
    who.press('3', q[2])
    assert at(ds, q[1]) == 'spoons' and who.n == 2
    who.press('a').press('x')                                            # eight at once, killed on the way or just after
    end = time.monotonic()+10
    while who.n < 5 and time.monotonic() < end: time.sleep(.001)
    killed()
    page.close()
    page = browser.new_page()
    Reviewer(page, ds).open(site.url).seen(len({e['name'] for e in log(ds)}))
    last = {e['name']: e for e in log(ds)}
    assert who.n >= 5 and all(at(ds, o) == (e['to'] or '.removed') for o, e in last.items())
    page.close()

def test_photo_that_vanished_is_passed_over(someone, site):
    q, ds = queue_names(site.ds), site.ds
    data, path = ds.find(q[1]).read_bytes(), ds.find(q[1])
    try:
        path.unlink()
        someone.press('1', q[2])
        assert 'no longer on disk' in someone.cells.nth(1).inner_text()
        someone.press('ArrowLeft', q[1])
        someone.press('x').press('ArrowRight', q[2])
        assert someone.n == 1
    finally: path.write_bytes(data)

def test_busy_kernel_says_saving_then_goes_on(someone, site):
    q, stopped = queue_names(site.ds), kernels(site.proc)
    for o in stopped: o.suspend()
    try: someone.press('2').says('Saving…')
    finally:
        for o in stopped: o.resume()
    someone.wait(q[1]).seen(1)
    assert someone.n == 1

def test_phone_in_the_dark(someone, site):
    q, page = queue_names(site.ds), someone.page
    dark = 'getComputedStyle(document.querySelector(".er")).backgroundColor.match(/\\d+/g).slice(0, 3).every(o => o < 128)'
    assert not page.evaluate(dark)
    page.set_viewport_size(dict(width=360, height=740))
    page.emulate_media(color_scheme='dark')
    comes_true(page, '[...document.querySelectorAll(".er, .er *")].every(o => o.getBoundingClientRect().right <= innerWidth)')
    comes_true(page, dark)
    someone.button('Label plates').click()
    someone.wait(q[1])
    assert at(site.ds, q[0]) == 'plates'
    page.set_viewport_size(dict(width=1100, height=900))
    page.emulate_media(color_scheme='light')

def test_everything_has_a_name(someone):
    for o in someone.page.locator('.er img').all(): assert o.get_attribute('alt')
    named = "[...document.querySelectorAll('.er :is(button, select, input, progress)')].map(o => (o.ariaLabel || o.innerText || o.labels?.[0]?.innerText || '').trim())"
    assert all(someone.page.evaluate(named))

# -- In JupyterLab

CELL = "from eyewear.data.dataset import Dataset\nfrom eyewear.page.review import Review\nReview(Dataset('dishes'))"
NOTEBOOK = dict(cells=[dict(cell_type='code', id='a', metadata={}, source=CELL, outputs=[], execution_count=None)], nbformat=4, nbformat_minor=5,
                metadata=dict(kernelspec=dict(name='python3', display_name='python3', language='python')))

@pytest.fixture
def lab(tmp_path):
    "JupyterLab with one notebook: its address"
    make_dataset(tmp_path/'dishes')
    (tmp_path/'a.ipynb').write_text(json.dumps(NOTEBOOK))
    port = serve_module.free_port(0)
    cmd = [sys.executable, '-m', 'jupyterlab', '--no-browser', '--allow-root', f'--ServerApp.port={port}', '--IdentityProvider.token=',
           '--ServerApp.port_retries=0', f'--ServerApp.root_dir={tmp_path}', '--LabApp.news_url=']
    env = dict(os.environ, JUPYTER_CONFIG_DIR=str(tmp_path/'config'), JUPYTER_PREFER_ENV_PATH='1')
    proc = subprocess.Popen(cmd, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try: yield f'http://127.0.0.1:{port}/'
    finally:
        proc.send_signal(signal.SIGTERM)
        try: proc.wait(20)
        finally: proc.kill()

def fetch(url, data=None, patience=30):
    "What the server at `url` answers, once it is there"
    end, get = time.monotonic()+patience, urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    while True:
        try:
            with get(urllib.request.Request(url, data), timeout=10) as r: return json.loads(r.read())
        except urllib.error.HTTPError: raise
        except OSError:
            if time.monotonic() > end: raise
            time.sleep(.1)

@pytest.mark.skipif(find_spec('jupyterlab') is None, reason='the light environment has no JupyterLab')
def test_in_jupyterlab(browser, lab, tmp_path):
    fetch(lab+'api/status')
    page = browser.new_page(viewport=dict(width=1300, height=1100))
    page.goto(lab+'lab/tree/a.ipynb')
    page.get_by_text('| Idle').wait_for(timeout=60_000)
    page.locator('.jp-Notebook .cm-content').first.click()
    page.keyboard.press('Shift+Enter')
    ds = Dataset(tmp_path/'dishes')
    who, q = Reviewer(page, ds).ready(), queue_names(ds)
    page.locator('.er-big').click()
    who.press('2', q[1]).press('x', q[2]).press('a').press('z', q[1])
    assert at(ds, q[0]) == 'plates' and at(ds, q[1]) == 'cups' and who.n == 3
    assert page.locator('.jp-Notebook .jp-CodeCell').count() == 2                  # x, z and a are Jupyter's too: nothing was cut or added
    kernel, = fetch(lab+'api/kernels')
    psutil_kernel = [o for o in psutil.process_iter(['cmdline']) if kernel['id'] in ' '.join(o.info['cmdline'] or [])]
    for o in psutil_kernel: o.kill()
    page.locator('.jp-Dialog button').last.click()                                  # JupyterLab says that the kernel died
    page.get_by_text('| Idle').wait_for()
    page.locator('.er-big').click()
    who.press('3').says('No answer')
    assert who.n == 3
    page.locator('.jp-Notebook .cm-content').first.click()
    page.keyboard.press('Shift+Enter')
    who.seen(1).wait(q[1])
    who.page.locator('.er-wrong').wait_for(state='detached')
    page.close()
