"The map of photos and the table of what a model says: what Python answers, and both pages in a real browser, by mouse, by key and by touch."
import io, json, re
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
import numpy as np, pytest
from eyewear.page import photomap, launch as serve_module
from eyewear.core import DatasetError, MissingExtra
from eyewear.data.dataset import Dataset
from eyewear.page.photomap import ConfusionMap, PhotoMap, plot_map, project
from conftest import comes_true
from test_review import fetch, kernels, lab, log, pattern

EVIL = '&lt;img onerror=document.title=1&gt;' # A label cannot have a < in it
LABELS = {'cups': 'red', EVIL: 'green', 'Löffel ☕ $x_1$': 'blue'}
STATIC = Path(photomap.__file__).parent/'static'
no_tutorial = pytest.mark.skipif(find_spec('sklearn') is None, reason='the light environment has no scikit-learn and no matplotlib')

def make_board(path):
    "A dataset of 24 photos, their places on a grid of 6 x 4, and rows of what a model says: every third is another label, the first ones are the queue"
    ds, labels = Dataset.create(path), list(LABELS)
    for label, color in LABELS.items():
        for i in range(8): ds.add(pattern(color, i), label)
    files = ds.files()
    at = [labels.index(f.parent.name) for f in files]
    rows = [dict(name=f.name, label=f.parent.name, guess=labels[(k+(i%3 == 0))%3], sure=.5+i/100) for i, (f, k) in enumerate(zip(files, at))]
    part = ds.split()
    wrong = [o for o in rows if o['guess'] != o['label'] and part[o['name']] != 'test']
    queue = [dict(o, why='looks like another', reason='wrong label') for o in wrong[:3]]
    return SimpleNamespace(ds=ds, files=files, xy=np.array([(i%6, i//6) for i in range(24)]), rows=rows, queue=queue, part=part,
                           names=[f.name for f in files], free=[f.name for f in files if part[f.name] != 'test'], test=[f.name for f in files if part[f.name] == 'test'])

@pytest.fixture
def b(tmp_path): return make_board(tmp_path/'dishes')

@pytest.fixture
def m(b): return PhotoMap(b.ds, b.xy, b.queue, b.files, b.rows)

@pytest.fixture
def t(b): return ConfusionMap(b.ds, list(LABELS), b.rows, b.queue)

# -- Places

@no_tutorial
def test_same_features_same_places():
    x = np.random.default_rng(0).normal(size=(60, 30)).astype('float32')
    a = project(x)
    assert (a == project(x)).all() and a.shape == (60, 2) and a.min() == 0 and a.max() == 1

@no_tutorial
def test_like_photos_lie_together():
    rng, k = np.random.default_rng(0), np.arange(120)%4
    x = rng.normal(size=(4, 200))[k]*3+rng.normal(size=(120, 200))
    xy = project(x)
    near = ((xy[:, None]-xy)**2).sum(2)+np.eye(120)*9
    assert (k[near.argmin(1)] == k).mean() > .95

@no_tutorial
@pytest.mark.parametrize('n,d', [(0, 5), (1, 5), (2, 5), (3, 5), (9, 5), (10, 5), (11, 1), (12, 2), (60, 3)])
def test_few_photos_and_few_numbers(n, d):
    xy = project(np.random.default_rng(0).normal(size=(n, d)))
    assert xy.shape == (n, 2) and np.isfinite(xy).all() and (n == 0 or 0 <= xy.min() <= xy.max() <= 1)

@no_tutorial
@pytest.mark.filterwarnings('error')
def test_photos_that_are_all_the_same_lie_in_the_middle(): assert (project(np.ones((30, 8))) == .5).all()

@pytest.mark.parametrize('feats,word', [(np.full((3, 4), np.nan), '3 of 3'), (np.zeros(5), r'\(5,\)')])
def test_what_is_no_feature_is_said(feats, word):
    with pytest.raises(DatasetError, match=word): project(feats)

def test_missing_scikit_learn_is_said(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(MissingExtra, match=r'sklearn.*eyewear\[tutorial\]'): project(np.eye(5))
    with pytest.raises(MissingExtra, match='matplotlib'): plot_map(np.eye(2), ['a', 'b'])

# -- What Python answers

def test_map_is_told_all_but_the_thumbnails(m, b):
    s = m.answer(dict(id='x-1', do='show'))
    assert s['id'] == 'x-1' and s['wrong'] == '' and json.dumps(s, allow_nan=False) and 'data:' not in json.dumps(s)
    assert s['names'] == b.names and s['xy'][0] == [0, 0] and s['xy'][-1] == [1, 1] and s['now']['labels'] == list(LABELS)
    assert [n for n, q in zip(s['names'], s['queued']) if q] == [o['name'] for o in b.queue]
    assert [n for n, t in zip(s['names'], s['test']) if t] == b.test and len(b.test) >= 3
    assert s['says'][0] == f'{EVIL} 50%' and s['why'][b.names.index(b.queue[0]['name'])] == 'looks like another'

def test_widget_keeps_nothing_in_the_notebook(m, t):
    for o in (m, t):
        state = {k: v for k, v in o.page.get_state().items() if k not in ('_esm', '_css')}
        assert len(json.dumps(state, default=str)) < 1000

def test_message_is_answered(m, monkeypatch):
    sent = []
    monkeypatch.setattr(m.page, 'send', sent.append)
    m.page._handle_custom_msg(dict(id='x-2', do='show'), [])
    assert sent[0]['id'] == 'x-2' and sent[0]['kind'] == 'map'

def test_thumbnails_come_24_at_most_and_once(m, b):
    some = m.answer(dict(id=1, do='look', names=b.names*3))['photos']
    assert list(some) == b.names[:24] and all(o['url'].startswith('data:image/jpeg;base64,') and o['at'] in LABELS for o in some.values())
    again = m.answer(dict(id=2, do='look', names=b.names[:2], have=b.names[:1]))['photos']
    assert set(again[b.names[0]]) == {'at'} and 'url' in again[b.names[1]]

def test_review_has_these_in_the_order_of_the_queue_and_no_test_photo(m, b):
    a, c = b.queue[0]['name'], b.queue[1]['name']
    other = next(o for o in b.free if o not in (a, c, b.queue[2]['name']))
    s = m.answer(dict(id=1, do='review', names=[other, c, *b.test, a, a]))
    r = m.children[1]
    assert [(o['name'], o['why']) for o in r.queue] == [(a, 'looks like another'), (c, 'looks like another'), (other, 'chosen on the map')]
    assert r.queue[2]['guess'] and r.queue[2]['reason'] == 'map' and s['said'] == f'The review of 3 photos is below. {len(b.test)} left out: test photos, or gone.'
    s = m.answer(dict(id=2, do='review', names=[other]))
    assert len(m.children) == 2 and m.children[1] is not r and s['said'] == 'The review of 1 photo is below.' and r.comm is None  # the old one is closed

def test_only_test_photos_are_a_sentence(m, t, b):
    for o in (m, t):
        s = o.answer(dict(id=1, do='review', names=b.test))
        assert s['wrong'].startswith('none of these can be reviewed') and len(o.children) == 1

def test_part_is_asked_again_before_a_review(m, b, monkeypatch):
    monkeypatch.setattr(b.ds, 'split', lambda: dict.fromkeys(b.names, 'test'))
    assert 'test photos' in m.answer(dict(id=1, do='review', names=b.free))['wrong']

def test_decision_below_is_told_to_the_page(m, t, b, monkeypatch):
    for o, to in ((m, 'cups'), (t, EVIL)):
        sent = []
        monkeypatch.setattr(o.page, 'send', sent.append)
        name = b.free[-1]
        o.answer(dict(id=1, do='review', names=[name]))
        monkeypatch.setattr(o.children[1], 'send', lambda msg: None)
        o.children[1]._handle_custom_msg(dict(id=2, do='show'), [])
        assert sent == []
        o.children[1]._handle_custom_msg(dict(id=3, do='decide', names=[name], to=to), [])
        assert sent == [dict(now=o.now())] and b.ds.find(name).parent.name == to
        monkeypatch.setattr(o, 'now', lambda: 1/0)
        o.children[1]._handle_custom_msg(dict(id=4, do='undo'), [])              # the review goes on
        assert b.ds.find(name).parent.name != to

def test_relabelled_removed_and_gone_meanwhile(m, t, b):
    a, c, d = b.free[:3]
    b.ds.decide(a, 'cups' if b.ds.find(a).parent.name != 'cups' else EVIL, by='person')
    b.ds.decide(c, None, by='person')
    b.ds.find(d).unlink()
    at = dict(zip(b.names, m.now()['at']))
    assert at[a] == b.ds.find(a).parent.name and at[c] == '.removed' and at[d] is None
    now = t.now()
    inside = {b.names[i]: (r, k) for r, row in enumerate(now['cells']) for k, cell in enumerate(row) for i in cell}
    assert now['out'] == 2 and len(inside) == 22 and list(LABELS)[inside[a][0]] == at[a]
    s = m.answer(dict(id=1, do='look', names=[a, c, d]))['photos']
    assert s[d] == dict(url=None, wrong=f'{d}: no longer on disk', at=None) and s[c]['url'] and s[c]['at'] == '.removed'
    s = m.answer(dict(id=2, do='review', names=[a, c, d]))
    assert [o['name'] for o in m.children[1].queue] == [a, c] and '1 left out' in s['said']

def test_damaged_photo_says_why(m, b):
    b.ds.find(b.names[0]).write_bytes(b'<html>')
    o = m.answer(dict(id=1, do='look', names=b.names[:1]))['photos'][b.names[0]]
    assert o['url'] is None and 'not a photo' in o['wrong'] and str(b.ds.path) not in json.dumps(o)

def test_table_counts_and_puts_the_surest_first(t, b):
    cells = t.now()['cells']
    assert [[len(o) for o in row] for row in cells] == [[sum(o['label'] == a and o['guess'] == c for o in b.rows) for c in LABELS] for a in LABELS]
    assert all(o == sorted(o, key=lambda i: -b.rows[i]['sure']) for row in cells for o in row) and json.dumps(t.show(), allow_nan=False)

BAD = [None, 5, {}, dict(do='rm'), dict(do='decide', names=['X'], to='cups'), dict(do='look'), dict(do='look', names=[]), dict(do='look', names='X'), dict(do='look', names=[None]),
       dict(do='look', names=[['X']]), dict(do='look', names=['../manifest.csv']), dict(do='review', names=['X', '/etc/passwd']), dict(do='review', names={'X': 1})]

@pytest.mark.parametrize('msg', BAD, ids=str)
def test_bad_message_changes_nothing_and_is_a_sentence(m, t, b, msg):
    if isinstance(msg, dict) and isinstance(msg.get('names'), list): msg = dict(msg, names=[b.names[0] if o == 'X' else o for o in msg['names']])
    for o in (m, t):
        s = o.answer(msg)
        assert s['wrong'].endswith('.') and len(o.children) == 1 and not log(b.ds) and str(b.ds.path) not in json.dumps(s)

def test_what_nobody_foresaw_is_a_sentence_too(m, b, monkeypatch, capfd):
    monkeypatch.setattr(photomap, '_where', lambda ds: 1/0)
    s = m.answer(dict(id=1, do='show'))
    assert 'went wrong' in s['wrong'] and 'division' not in json.dumps(s) and 'ZeroDivisionError' in capfd.readouterr().err

@pytest.mark.parametrize('xy,word', [(np.zeros((5, 2)), r'\(5, 2\) for 24'), (np.zeros((24, 3)), r'\(24, 3\)'), (np.full((24, 2), np.inf), 'no numbers')])
def test_places_that_do_not_fit_are_said(b, xy, word):
    with pytest.raises(DatasetError, match=word): PhotoMap(b.ds, xy, files=b.files)

def test_guess_that_is_no_label_is_said(b):
    with pytest.raises(DatasetError, match="'spoons'; the labels are cups"): ConfusionMap(b.ds, list(LABELS), [dict(name=b.names[0], guess='spoons')])

def test_empty_dataset(tmp_path):
    ds = Dataset.create(tmp_path/'none')
    assert PhotoMap(ds, np.zeros((0, 2))).answer(dict(id=1, do='show'))['names'] == []
    assert ConfusionMap(ds, [], []).answer(dict(id=1, do='show'))['now'] == dict(labels=[], cells=[], out=0)

# -- The picture

def legend(fig): return [o.get_text() for o in fig.legends[0].get_texts()]

@no_tutorial
def test_picture_of_the_map(m, b):
    fig = m.plot(title='Which of these?')
    assert legend(fig) == [*(f'8 {o}' for o in LABELS), '3 worth a look'] and fig.get_suptitle() == 'Which of these?'
    ring = fig.axes[0].lines[-1].get_xydata()
    assert {tuple(o) for o in ring} == {tuple(m.xy[b.names.index(o['name'])]) for o in b.queue}
    faded = sum(len(o.get_xdata()) for o in fig.axes[0].lines if o.get_alpha() == .25)
    assert faded == len(b.test)
    out = io.BytesIO()
    fig.savefig(out)
    assert len(out.getvalue()) < 60_000
    b.ds.decide(b.free[0], None, by='person')
    assert legend(m.plot())[0].startswith('7 ')

@no_tutorial
@pytest.mark.parametrize('labels', [['_hidden', '$\\frac{'], ['a']*2, []])
def test_picture_of_any_labels(labels):
    fig = plot_map(np.eye(2)[:len(labels)], labels)
    fig.canvas.draw()
    assert not fig.legends if not labels else legend(fig) == [f'{labels.count(o)} {o}' for o in dict.fromkeys(labels)]

@no_tutorial
def test_colours_and_shapes_are_those_of_the_page():
    tips = {k: v for k, v in zip('os^v', ('A1 1', '-.9-.9H', 'M0-1.1', 'M0 1.1'))}   # a triangle that points up begins with its tip
    shapes = re.search(r'const SHAPES = \[(.+?)\]\n', (STATIC/'photomap.js').read_text(), re.S)[1]
    found = [o for o in re.findall(r"'([^']+)'", shapes)]
    assert len(found) == len(photomap._markers) == 5 and all(tips.get(k, '') in o for k, o in zip(photomap._markers, found))

def contrast(a, c):
    "Of two colours, as WCAG has it"
    def light(o): return sum(k*(v/12.92 if v <= .04045 else ((v+.055)/1.055)**2.4) for k, v in zip((.2126, .7152, .0722), (int(o[i:i+2], 16)/255 for i in (1, 3, 5))))
    return (max(light(a), light(c))+.05)/(min(light(a), light(c))+.05)

def test_every_colour_can_be_seen_on_light_and_dark():
    for c in photomap.colours: assert contrast(c, '#ffffff') > 2 and contrast(c, '#15181b') > 2   # and each mark has an outline
    assert len({*photomap.colours}) == 8

def test_page_asks_nothing_of_other_hosts():
    for f in ('dom.js', 'photomap.js', 'photomap.css'): assert not re.search(r'https?:(?!//www\.w3\.org/2000/svg)|[^:]//\w+\.|@import|url\(', (STATIC/f).read_text())

# -- The pages in a browser

CELLS = ['''import json
from pathlib import Path
from eyewear.data.dataset import Dataset
from eyewear.page.photomap import *
d = json.loads(Path('board.json').read_text())
ds = Dataset('dishes')
PhotoMap(ds, d['xy'], d['queue'], d['names'], d['rows'])''', "ConfusionMap(ds, d['labels'], d['rows'], d['queue'])"]

def notebook(cells): return json.dumps(dict(nbformat=4, nbformat_minor=5, metadata=dict(kernelspec=dict(name='python3', display_name='python3', language='python')),
    cells=[dict(cell_type='code', id=f'c{i}', metadata={}, source=o, outputs=[], execution_count=None) for i, o in enumerate(cells)]))

@pytest.fixture(scope='module')
def site(tmp_path_factory):
    home = tmp_path_factory.mktemp('photomap')
    b = make_board(home/'dishes')
    (home/'board.json').write_text(json.dumps(dict(xy=b.xy.tolist(), queue=b.queue, names=b.names, rows=b.rows, labels=list(LABELS))))
    (home/'page.ipynb').write_text(notebook(CELLS))
    port = serve_module.free_port(0)
    b.proc, b.url = serve_module.start_server(home/'page.ipynb', None, port, '127.0.0.1', dict(pool=0)), f'http://127.0.0.1:{port}/'
    try:
        serve_module.wait_for_page(b.proc, b.url, 0)
        yield b
    finally: serve_module.stop_server(b.proc)

class Guest:
    "Somebody who looks at the map and at the table"
    def __init__(self, page, b):
        self.page, self.b = page, b
        page.set_default_timeout(20_000)
        self.canvas, self.card, self.table = page.locator('.em-canvas'), page.locator('.em-card'), page.locator('.em-table')
        self.map, self.confusion = page.get_by_role('region', name='Map of photos'), page.get_by_role('region', name='What the model says, by label')
    def open(self, url):
        self.page.goto(url)
        return self.ready()
    def ready(self):
        self.canvas.wait_for(timeout=60_000)
        self.page.locator('.em-legend button').first.wait_for()
        comes_true(self.page, 'document.querySelector(".em-canvas").width > 99')
        return self
    def at(self, name):
        "Where on the canvas the photo is"
        box = self.canvas.bounding_box()
        x, y = (self.b.xy/self.b.xy.max(0))[self.b.names.index(name)]
        return dict(x=22+x*(box['width']-44), y=box['height']-22-y*(box['height']-44))
    def click(self, name, **kw): self.canvas.click(position=self.at(name), **kw)
    def drag(self, a, c):
        "A rectangle around the photos `a` and `c` and what lies between"
        self.canvas.scroll_into_view_if_needed()
        box, a, c = self.canvas.bounding_box(), self.at(a), self.at(c)
        self.page.mouse.move(box['x']+min(a['x'], c['x'])-9, box['y']+min(a['y'], c['y'])-9)
        self.page.mouse.down()
        self.page.mouse.move(box['x']+max(a['x'], c['x'])+9, box['y']+max(a['y'], c['y'])+9, steps=4)
        self.page.mouse.up()
    def chosen(self, n, there=None): (there or self.map).get_by_role('button', name=f'Review {"this one" if n == 1 else f"these {n}"}', exact=True).wait_for()
    def thumbs(self, there=None): return [o.get_attribute('title') for o in (there or self.map).locator('.em-tray .er-cell').all()]
    def says(self, text): self.page.get_by_role('status').filter(has_text=text).first.wait_for()
    def cell(self, r, c): return self.table.locator(f'[data-at="{r} {c}"] button')
    def count(self, r, c, n): self.table.locator(f'[data-at="{r} {c}"] b').get_by_text(str(n), exact=True).wait_for()
    def reviewed(self, there):
        "Names in the review that has opened in the box of `there`"
        box = self.page.locator('.widget-vbox').filter(has=there)
        box.locator('.er:not(.em) .er-pic').first.wait_for()
        return [o.get_attribute('title') for o in box.locator('.er:not(.em) .er-pic').all()]

@pytest.fixture
def guest(browser, site):
    "The page, just opened, on a dataset where no person has decided anything"
    site.ds.undo(by='person')
    site.ds.log.unlink(missing_ok=True)
    page = browser.new_page(viewport=dict(width=1100, height=900))
    page.errors = []
    page.on('pageerror', lambda e: page.errors.append(str(e)))
    page.frames_in = []
    page.on('websocket', lambda ws: ws.on('framereceived', lambda o: page.frames_in.append(o if isinstance(o, (str, bytes)) else str(o))))
    yield Guest(page, site).open(site.url)
    text = page.locator('body').inner_text()
    assert not page.errors and page.title() != '1' and not re.search(r'Traceback|Error\b|'+re.escape(str(site.ds.path)), text)
    page.close()

def sent_pictures(page): return sum(('data:image' if isinstance(o, str) else b'data:image') in o for o in page.frames_in)

def test_hover_asks_for_the_thumbnail_then(guest, site):
    assert sent_pictures(guest.page) == 0
    name = site.queue[1]['name']
    guest.canvas.hover(position=guest.at(name))
    guest.card.get_by_text(name).wait_for()
    text = guest.card.inner_text()
    assert site.ds.find(name).parent.name in text and f"Model says {site.queue[1]['guess']}" in text and 'Worth a look: looks like another' in text
    assert guest.card.locator('img').evaluate('async o => { await o.decode(); return o.naturalWidth }') > 0 and sent_pictures(guest.page) == 1
    guest.page.mouse.move(5, 5)
    guest.card.wait_for(state='hidden')
    guest.canvas.hover(position=guest.at(name))
    guest.card.get_by_text(name).wait_for()
    guest.page.locator('.er[aria-busy=false]').first.wait_for()
    assert sent_pictures(guest.page) == 1                                # it was kept in the page

def test_choose_by_mouse_and_review(guest, site):
    a, c = site.queue[0]['name'], next(o for o in reversed(site.free) if o not in [q['name'] for q in site.queue])
    guest.click(c)
    guest.chosen(1)
    guest.click(a)
    guest.chosen(1)
    assert guest.thumbs() == [a]                                         # a click chooses anew, shift adds
    guest.click(c, modifiers=['Shift'])
    guest.chosen(2)
    guest.map.get_by_role('button', name='Review these 2').click()
    assert guest.reviewed(guest.map) == [a, c]
    guest.says('The review of 2 photos is below.')
    comes_true(guest.page, 'document.activeElement.matches(".er:not(.em)")')
    legend = lambda label, n: guest.map.get_by_role('button', name=f'{label} ({n})', exact=True).wait_for()
    was = site.ds.find(a).parent.name
    to = [o for o in LABELS if o != was][0]
    legend(was, 8)
    guest.page.keyboard.press(str(list(LABELS).index(to)+1))
    legend(to, 9), legend(was, 7)                                        # the mark has changed its colour
    assert site.ds.find(a).parent.name == to and log(site.ds)[0]['why'].endswith('looks like another')
    guest.click(a)
    guest.card.locator('b').get_by_text(to, exact=True).wait_for()

def test_rectangle_leaves_test_photos_out(guest, site):
    guest.drag(site.names[0], site.names[-1])
    guest.chosen(len(site.free))
    assert set(guest.thumbs()) == set(site.free)
    guest.map.get_by_role('button', name='Choose none').click()
    guest.drag(site.names[0], site.names[7])
    first = [o for o in (*site.names[:2], *site.names[6:8]) if o in site.free]
    guest.chosen(len(first))
    guest.page.keyboard.down('Shift')
    guest.drag(site.names[16], site.names[23])
    guest.page.keyboard.up('Shift')
    guest.chosen(len({*first, *[o for o in (*site.names[16:18], *site.names[22:24]) if o in site.free]}))

def test_test_photo_can_be_looked_at_only(guest, site):
    guest.page.get_by_text('Test photos are faded').wait_for()
    guest.click(site.test[0])
    guest.card.get_by_text('Test photo: to look at only').wait_for()
    assert guest.map.get_by_role('button', name=re.compile('^Review')).count() == 0

def test_choose_by_key_and_review(guest, site):
    q, page = [o['name'] for o in site.queue], guest.page
    page.evaluate("window.leaked = []; document.addEventListener('keydown', e => leaked.push(e.key))")
    guest.map.locator('.em-legend button').last.focus()
    page.keyboard.press('Tab')                                           # the map is next
    guest.card.get_by_text(q[0]).wait_for()
    page.keyboard.press(' ')
    guest.chosen(1)
    page.keyboard.press('n')
    guest.card.get_by_text(q[1]).wait_for()
    page.keyboard.press(' ')
    guest.chosen(2)
    spoken = guest.map.locator('[aria-live].er-hidden').inner_text()
    assert q[1] in spoken and 'model says' in spoken and 'worth a look' in spoken and spoken.endswith('chosen')
    page.keyboard.press('p')
    guest.card.get_by_text(q[0]).wait_for()
    page.keyboard.press(' ')                                             # again: no longer chosen
    guest.chosen(1)
    page.keyboard.press('ArrowRight')
    right = site.names[site.names.index(q[0])+1]
    guest.card.get_by_text(right).wait_for()
    page.keyboard.press('ArrowUp')
    guest.card.get_by_text(site.names[site.names.index(right)+6]).wait_for()
    for key in ('ArrowDown', 'ArrowLeft'): page.keyboard.press(key)
    guest.card.get_by_text(q[0]).wait_for()
    page.keyboard.press('Enter')
    assert guest.reviewed(guest.map) == [q[1]] and page.evaluate('leaked.filter(o => o != "Tab")') == []
    guest.canvas.focus()
    page.keyboard.press('Escape')
    guest.map.get_by_role('button', name=re.compile('^Review')).wait_for(state='detached')

def test_legend_takes_a_label_off_the_map(guest, site):
    guest.drag(site.names[0], site.names[-1])
    guest.chosen(len(site.free))
    button = guest.map.get_by_role('button', name=f'{EVIL} (8)', exact=True)                # markup is text
    assert button.get_attribute('aria-pressed') == 'true'
    button.click()
    rest = [o for o in site.free if site.ds.find(o).parent.name != EVIL]
    guest.chosen(len(rest))
    assert button.get_attribute('aria-pressed') == 'false'
    guest.drag(site.names[0], site.names[-1])
    guest.chosen(len(rest))
    button.click()
    guest.drag(site.names[0], site.names[-1])
    guest.chosen(len(site.free))

def test_table_by_mouse(guest, site):
    want = sorted((o for o in site.rows if (o['label'], o['guess']) == ('cups', EVIL)), key=lambda o: -o['sure'])
    free = [o['name'] for o in want if o['name'] in site.free]
    guest.count(0, 1, len(want))
    guest.cell(0, 1).click()
    guest.confusion.get_by_text(f'cups, model says {EVIL}: {len(want)} photos.').wait_for()
    guest.confusion.locator('img.er-thumb').nth(len(want)-1).wait_for()
    assert guest.thumbs(guest.confusion) == [o['name'] for o in want] and guest.cell(0, 1).get_attribute('aria-pressed') == 'true'
    guest.chosen(len(free), guest.confusion)
    guest.confusion.get_by_role('button', name=re.compile('^Review')).click()
    got = guest.reviewed(guest.confusion)
    assert set(got) == set(free)
    comes_true(guest.page, 'document.activeElement.matches(".er:not(.em)")')
    guest.page.keyboard.press('2')                                       # the model is right
    guest.count(0, 1, len(want)-1)
    guest.count(1, 1, sum((o['label'], o['guess']) == (EVIL, EVIL) for o in site.rows)+1)
    assert site.ds.find(got[0]).parent.name == EVIL

def test_table_by_key(guest, site):
    page = guest.page
    guest.cell(0, 0).focus()
    for key in ('ArrowRight', 'ArrowDown', 'ArrowDown', 'ArrowDown', 'ArrowLeft'): page.keyboard.press(key)   # no further than the edge
    assert page.evaluate('document.activeElement.parentElement.dataset.at') == '2 0'
    page.keyboard.press('Enter')
    guest.confusion.get_by_text(re.compile('model says cups: ')).wait_for()
    assert page.evaluate('document.activeElement.parentElement.dataset.at') == '2 0'                          # focus stays where it was
    page.keyboard.press('Enter')
    guest.confusion.get_by_role('button', name=re.compile('^Review')).wait_for(state='detached')
    label = guest.cell(2, 0).get_attribute('aria-label')
    assert re.fullmatch(r'Löffel ☕ \$x_1\$, model says cups: \d photos?, \d+% of the row', label)
    assert guest.table.locator('button[tabindex="0"]').count() == 1

def test_relabelled_and_gone_meanwhile_in_the_page(guest, site):
    a, gone = site.free[0], site.free[-1]
    path, data = site.ds.find(gone), site.ds.find(gone).read_bytes()
    to = next(o for o in LABELS if o != site.ds.find(a).parent.name)
    try:
        path.unlink()
        site.ds.decide(a, to, by='person')
        guest.canvas.hover(position=guest.at(a))
        guest.card.locator('b').get_by_text(to, exact=True).wait_for()
        guest.map.get_by_role('button', name=f'{to} (9)', exact=True).wait_for()
        guest.canvas.hover(position=guest.at(gone))
        guest.card.get_by_text('no longer on disk').wait_for()
        guest.click(gone)
        guest.map.get_by_role('button', name='Review this one').click()
        guest.says('none of these can be reviewed')
    finally: path.write_bytes(data)

def test_kernel_gone_is_a_sentence(browser, site):
    before = kernels(site.proc)
    guest = Guest(browser.new_page(), site).open(site.url)
    guest.click(site.free[0])
    guest.chosen(1)
    guest.map.locator('img.er-thumb').wait_for()
    for o in kernels(site.proc):
        if o not in before: o.kill()
    guest.map.get_by_role('button', name='Review this one').click()
    guest.says('No answer: Python is busy or has ended')
    assert guest.map.get_by_role('button', name='Ask again').is_visible() and guest.map.locator('img.er-thumb').count() == 1
    guest.page.close()

def test_busy_kernel_answers_later(guest, site):
    stopped = kernels(site.proc)
    for o in stopped: o.suspend()
    try:
        guest.click(site.free[0])
        guest.says('No answer')
    finally:
        for o in stopped: o.resume()
    guest.map.locator('img.er-thumb').wait_for()
    comes_true(guest.page, '![...document.querySelectorAll(".em [role=status]")].some(o => o.innerText)')

def test_phone_in_the_dark(browser, site):
    context = browser.new_context(viewport=dict(width=360, height=740), color_scheme='dark', has_touch=True, is_mobile=True)
    guest = Guest(context.new_page(), site).open(site.url)
    for name in site.free[:2]: guest.canvas.tap(position=guest.at(name))              # a tap adds
    guest.chosen(2)
    guest.card.get_by_text(site.free[1]).wait_for()
    guest.cell(0, 0).tap()
    guest.confusion.locator('img.er-thumb').first.wait_for()
    comes_true(guest.page, '[...document.querySelectorAll(".em, .em > *, .em-place > *, .em-card, .er-acts > *")].every(o => o.getBoundingClientRect().right <= innerWidth)')
    assert guest.page.evaluate('getComputedStyle(document.querySelector(".em")).backgroundColor.match(/\\d+/g).slice(0, 3).every(o => o < 128)')
    guest.canvas.tap(position=guest.at(site.free[0]))                                # and another takes it away
    guest.chosen(1)
    context.close()

def test_everything_has_a_name(guest, site):
    guest.click(site.free[0])
    guest.map.locator('img.er-thumb').wait_for()
    for o in guest.page.locator('.em-tray img').all(): assert o.get_attribute('alt')
    named = "[...document.querySelectorAll('.em :is(button, canvas, [role=region], [role=group])')].map(o => (o.ariaLabel || o.innerText || '').trim())"
    assert all(guest.page.evaluate(named))

# -- Many photos, on a page without Python

PAGE = '''async ([js, css, show]) => {
  document.head.append(Object.assign(document.createElement('style'), {textContent: css}))
  window.calls = 0; window.paints = 0
  const proto = CanvasRenderingContext2D.prototype
  for (const k of ['fill', 'stroke', 'fillRect', 'strokeRect', 'arc']) { const f = proto[k]; proto[k] = function(...a) { calls += k !== 'arc'; return f.apply(this, a) } }
  const clear = proto.clearRect
  proto.clearRect = function(...a) { paints += 1; return clear.apply(this, a) }
  let answer
  const model = {on: (_, f) => { answer = f }, off() {}, send: msg => setTimeout(() => answer(msg.do === 'show' ? {...show, id: msg.id, wrong: ''}
    : {id: msg.id, wrong: '', photos: Object.fromEntries(msg.names.map(o => [o, {at: show.now.at[0], url: null, wrong: 'none here'}]))}))}
  const {render} = (await import(URL.createObjectURL(new Blob([js], {type: 'text/javascript'})))).default
  render({model, el: document.body})
}'''

def open_alone(browser, show):
    page = browser.new_page(viewport=dict(width=1100, height=900))
    page.evaluate(PAGE, [(STATIC/'dom.js').read_text()+(STATIC/'photomap.js').read_text(), (STATIC/'review.css').read_text()+(STATIC/'photomap.css').read_text(), show])
    page.locator('.em-legend button').first.wait_for()
    comes_true(page, 'paints > 0 && document.querySelector(".em-canvas").width > 99')
    return page

def many_points(n, labels):
    names = [f'{i}.jpg' for i in range(n)]
    xy = np.random.default_rng(0).random((n, 2)).round(4).tolist()
    return dict(kind='map', names=names, xy=xy, colours=photomap.colours, test=[i%5 == 0 for i in range(n)], queued=[i%7 == 0 for i in range(n)],
                says=['']*n, why=['']*n, now=dict(labels=labels, at=[labels[i%len(labels)] for i in range(n)]))

def test_thousands_are_drawn_with_as_few_strokes_as_dozens(browser):
    per = {}
    for n in (24, 2000):
        page = open_alone(browser, many_points(n, list('abcd')))
        page.evaluate('calls = paints = 0')
        page.locator('.em-canvas').click()
        comes_true(page, 'paints > 0')
        per[n] = page.evaluate('calls/paints')
        page.close()
    assert per[2000] <= per[24]+2 and per[2000] < 40

def test_map_is_drawn_once_a_frame_however_fast_the_mouse(browser):
    page = open_alone(browser, many_points(2000, list('abcd')))
    n = page.evaluate('''async () => {
      const c = document.querySelector('.em-canvas'), b = c.getBoundingClientRect()
      let frames = 0
      paints = 0
      for (let k = 0; k < 5; k++) {
        for (let i = 0; i < 100; i++) c.dispatchEvent(new PointerEvent('pointermove', {clientX: b.x+i*9, clientY: b.y+(i*37)%b.height, bubbles: true, isPrimary: true}))
        await new Promise(done => requestAnimationFrame(done))
        frames += 1
      }
      return [paints, frames]
    }''')
    assert 1 <= n[0] <= n[1]+1, n
    page.close()

@pytest.mark.parametrize('labels', [['one'], [f'label {i} of many with a rather long name' for i in range(40)]], ids=('one', 'forty'))
def test_any_number_of_labels(browser, labels):
    page = open_alone(browser, many_points(200, labels))
    assert page.locator('.em-legend button').count() == len(labels)
    page.set_viewport_size(dict(width=360, height=740))
    comes_true(page, '[...document.querySelectorAll(".em, .em *")].every(o => o.getBoundingClientRect().right <= innerWidth)')
    page.close()

def test_taken_out_photos_have_a_mark_of_their_own(browser):
    show = many_points(20, ['a', 'b'])
    show['now']['at'][:3] = ['.removed', None, '.removed']
    page = open_alone(browser, show)
    page.get_by_role('button', name='taken out or gone (3)').wait_for()
    page.close()

# -- In JupyterLab

@pytest.mark.skipif(find_spec('jupyterlab') is None, reason='the light environment has no JupyterLab')
def test_in_jupyterlab(browser, lab, tmp_path):
    b = make_board(tmp_path/'board')
    (tmp_path/'board.json').write_text(json.dumps(dict(xy=b.xy.tolist(), queue=b.queue, names=b.names, rows=b.rows, labels=list(LABELS))))
    (tmp_path/'b.ipynb').write_text(notebook([CELLS[0].replace("'dishes'", "'board'")]))
    fetch(lab+'api/status')
    page = browser.new_page(viewport=dict(width=1300, height=1400))
    page.goto(lab+'lab/tree/b.ipynb')
    page.get_by_text('| Idle').wait_for(timeout=60_000)
    page.locator('.jp-Notebook .cm-content').first.click()
    page.keyboard.press('Shift+Enter')
    guest, q = Guest(page, b).ready(), [o['name'] for o in b.queue]
    guest.click(q[0])
    guest.chosen(1)
    for key in ('x', 'a', 'b', 'd', 'd', 'n', ' '): page.keyboard.press(key)                       # most of them are Jupyter's too
    assert page.locator('.jp-Notebook .jp-CodeCell').count() == 2
    guest.map.get_by_role('button', name=re.compile('^Review')).click()
    assert q[0] in guest.reviewed(guest.map)
    was = b.ds.find(q[0]).parent.name
    comes_true(page, 'document.activeElement.matches(".er:not(.em)")')
    page.keyboard.press('x')
    guest.map.get_by_role('button', name=f'{was} (7)', exact=True).wait_for()
    guest.map.get_by_role('button', name='taken out or gone (1)').wait_for()
    assert b.ds.find(q[0]).parent.name == '.removed'
    page.close()
