"""From choosing a photo to its answer on the screen, in real Chromium: ours and Gradio with a JPEG of 12 megapixels, the page of 2021 with one of 3 MB (Upload, then
Classify: of the large one it says nothing). ROUNDS (7) photos each, all different."""
import os, statistics, tempfile, time
from pathlib import Path
from _pages import PATIENCE, browser, commands, gradio, jpeg, make_files, ready, served, wait
from _report import report

ROUNDS = int(os.environ.get('ROUNDS', 7))

def choose(page, button, path):
    "Choose the photo at `path`; the moment at which it was chosen"
    with page.expect_file_chooser() as fc: button.click()
    start = time.perf_counter()
    fc.value.set_files(path)
    return start

def shown(page, path):
    "Wait until our page shows the answer to the photo at `path`"
    wait(page.locator('.ea-result > img').and_(page.get_by_alt_text(Path(path).name, exact=True)).is_visible)

def answer(page, name, path):
    "Choose the photo at `path`; seconds until its answer stands there"
    if name == 'Gradio':
        start = time.perf_counter()
        page.locator('input[type=file]').first.set_input_files(path)
        wait(page.locator('.output-class, [data-testid=label-output-value]').first.is_visible)
    elif 'seed' in name:
        start = choose(page, page.get_by_role('button', name='Upload'), path)
        wait(page.get_by_role('button', name='Upload (1)').is_visible)
        page.get_by_role('button', name='Classify').click()
        wait(page.get_by_text('Prediction: ').is_visible)
    else:
        start = choose(page, page.locator('.ed-area'), path)
        shown(page, path)
    return time.perf_counter()-start

def main():
    with tempfile.TemporaryDirectory() as home, browser() as b:
        home = Path(home)
        sites = commands(home, model := make_files(home))
        sites = {o: sites[o] for o in ("the seed's", 'eyewear')} | ({'Gradio': other} if (other := gradio(home, model)) else {})
        sizes = {'large': (4000, 3000, 96), 'small': (4000, 3000, 91)}
        photos = {k: [home/f'{k}{i}.jpg' for i in range(ROUNDS)] for k in sizes}
        for k, files in photos.items():
            for i, f in enumerate(files): f.write_bytes(jpeg(*sizes[k], seed=i))
        rows = []
        for name, command in sites.items():
            kind, seconds = 'small' if 'seed' in name else 'large', []
            with served(command, home) as (url, _):
                for f in photos[kind]: # A fresh page for each: an answer that stands there already could be taken for the next
                    page = b.new_page(viewport=dict(width=1100, height=900))
                    page.goto(url, timeout=PATIENCE)
                    ready(page, name)
                    seconds.append(answer(page, name, f))
                    page.close()
            mb = sum(f.stat().st_size for f in photos[kind])/1e6/len(photos[kind])
            rows.append(dict(page=name, photo=f'{sizes[kind][0]*sizes[kind][1]/1e6:.0f} megapixels, {mb:.1f} MB', p50=round(statistics.median(seconds), 2), most=round(max(seconds), 2), n=len(seconds)))
        at = {r['page']: r['p50'] for r in rows}
        met = at['eyewear'] <= 1 and 3*at['eyewear'] <= at["the seed's"] and 2*at['eyewear'] <= at.get('Gradio', 99)
        report('page_answer', rows, unit='seconds', goal="p50 at most 1.0 s, 3 times as fast as the seed's way with a 3 MB photo, twice as fast as Gradio", met=bool(met))

if __name__ == '__main__': main()
