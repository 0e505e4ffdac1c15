"""Pictures of the docs (nbs/images): the app and the review in a real browser, and what the lessons show, from their saved outputs.

`make lessons` calls it. By hand: `python .ci/pictures.py [lessons]`, with `lessons` without the browser."""
import base64, io, json, re, subprocess, sys
from contextlib import contextmanager
from pathlib import Path
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT/'nbs'/'images'
SHOTS = dict(light=(760, 'light'), dark=(760, 'dark'), phone=(360, 'light'))
CELLS = {  # picture: lesson, cell that shows it
    'lesson_01': ('01_download', '5483d695'), 'lesson_02': ('02_clean', 'd040b032'), 'lesson_03': ('03_train', 'showres3'),
    'lesson_04': ('04_interpret', 'open04'), 'lesson_05': ('05_export', 'heatfile'), 'labels': ('04_interpret', 'labels04')}
SIDE = 640      # largest width of a lesson's picture
BYTES = 40_000  # its largest size

# -- The app

def shot(browser, url, name, width, scheme):
    "The page after two portraits, the spotlight on in the dark one"
    page = browser.new_page(viewport=dict(width=width, height=700), color_scheme=scheme)
    page.goto(url)
    for label in ('glasses', 'VR'):
        page.get_by_role('button', name=f'Drawn portrait: {label}').click()
        page.locator('.ea-result > img').and_(page.get_by_alt_text(f'{label}.jpg')).wait_for()
    if name == 'dark': page.get_by_role('button', name='Show where it looked').click()
    page.locator('.ea-table').wait_for()
    page.wait_for_timeout(800)
    save(page, f'app_{name}')
    page.close()

def save(page, name):
    "The whole page as a small PNG"
    img = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert('RGB')
    img.quantize(128).save(IMAGES/f'{name}.png', optimize=True)

def review(browser, url):
    "The review of the newest dataset"
    page = browser.new_page(viewport=dict(width=900, height=700))
    page.goto(url, timeout=120_000)
    page.get_by_role('button', name='Keep').wait_for(timeout=120_000)
    page.wait_for_timeout(2000)  # pictures
    save(page, 'review')
    page.close()

@contextmanager
def served(*cmd):
    "Run the command `cmd` until its address has been used"
    server = subprocess.Popen([Path(sys.executable).with_name(cmd[0]), *cmd[1:]], stdout=subprocess.PIPE, text=True)
    try: yield next(re.search(r'http://\S+', line)[0] for line in server.stdout if 'http://' in line)
    finally:
        server.terminate()
        server.wait()

def app_pictures():
    "The page of the newest model, with the drawn portraits that it offers, and the review; None, or why there are none"
    sys.path.insert(0, str(ROOT/'tests'))
    from conftest import HUSH, find_chromium
    from playwright.sync_api import sync_playwright
    path, tried = find_chromium()
    if not path: return f'the pictures of the app stay as they are: no browser ({"; ".join(tried)})'
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=HUSH)
        with served('eyewear-app', '--port', '0') as url:
            for name, (width, scheme) in SHOTS.items(): shot(browser, url, name, width, scheme)
        with served('eyewear-clean', '--review', '--port', '0') as url: review(browser, url)
        browser.close()

# -- The lessons

def saved_picture(name, cid):
    "The first picture that the cell `cid` of the lesson `name` shows, as bytes; None where it shows none"
    cells = json.loads((ROOT/'nbs'/f'{name}.ipynb').read_text(encoding='utf8'))['cells']
    outputs = [o.get('data', {}) for c in cells if c['id'] == cid for o in c.get('outputs', [])]
    found = [o[k] for o in outputs for k in ('image/jpeg', 'image/png') if k in o]
    return base64.b64decode(''.join(found[0])) if found else None

def small(data, top=None):
    "A picture as a JPEG that fits a lesson: as it is where it does, else made smaller; of a tall one the part above `top`"
    img = Image.open(io.BytesIO(data))
    if img.format == 'JPEG' and img.width <= SIDE and len(data) <= BYTES: return data
    img = img.convert('RGB').crop((0, 0, img.width, top or img.height))
    img.thumbnail((SIDE if not top else SIDE*3//4, 10*SIDE), Image.Resampling.LANCZOS)
    for quality in range(85, 30, -10):
        out = io.BytesIO()
        img.save(out, 'JPEG', quality=quality, optimize=True)
        if out.tell() <= BYTES: break
    return out.getvalue()

def lesson_pictures():
    "The pictures of `CELLS`, and lesson_06.jpg from that of the app; a line for each that cannot be made"
    missing = []
    for picture, (name, cid) in CELLS.items():
        data = saved_picture(name, cid)
        if data: (IMAGES/f'{picture}.jpg').write_bytes(small(data))
        else:
            hint = 'run `make lessons`, or name another cell in .ci/pictures.py'
            missing.append(f'{name}.ipynb: no picture below the cell {cid}; {hint}')
    (IMAGES/'lesson_06.jpg').write_bytes(small((IMAGES/'app_light.png').read_bytes(), top=920))
    return missing

def main(which='all'):
    IMAGES.mkdir(exist_ok=True)
    problem = None if which == 'lessons' else app_pictures()
    missing = lesson_pictures()
    for o in filter(None, (problem, *missing)): print(f'eyewear: {o}', file=sys.stderr)
    return bool(missing)

if __name__ == '__main__': sys.exit(main(*sys.argv[1:]))
