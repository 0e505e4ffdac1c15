"Pictures of the app for the docs (nbs/images), from the newest model, in a real browser, with the drawn portraits that the page offers."
import io, re, subprocess, sys
from pathlib import Path
from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT/'tests'))
from conftest import HUSH, find_chromium

SHOTS = dict(light=(760, 'light'), dark=(760, 'dark'), phone=(360, 'light'))

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
    img = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert('RGB')
    img.quantize(128).save(ROOT/'nbs'/'images'/f'app_{name}.png', optimize=True)
    page.close()

def main():
    (ROOT/'nbs'/'images').mkdir(exist_ok=True)
    server = subprocess.Popen([Path(sys.executable).with_name('eyewear-app'), '--port', '0'], stdout=subprocess.PIPE, text=True)
    try:
        url = re.search(r'http://\S+', server.stdout.readline())[0]
        with sync_playwright() as p:
            browser = p.chromium.launch(executable_path=find_chromium()[0], args=HUSH)
            for name, (width, scheme) in SHOTS.items(): shot(browser, url, name, width, scheme)
            browser.close()
    finally:
        server.terminate()
        server.wait()

if __name__ == '__main__': main()
