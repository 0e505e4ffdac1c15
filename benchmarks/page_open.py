"""From the address to a page that can be used, in real Chromium: the page of 2021 (fastai, `load_learner`), an empty Voila page, ours without and with kernels started
ahead, and Gradio over the same model file. All in turn, ROUNDS (5) times; the seed's page is opened twice, for it takes long."""
import os, statistics, tempfile, time
from pathlib import Path
from _pages import PATIENCE, browser, commands, gradio, make_files, ready, served
from _report import report

ROUNDS = int(os.environ.get('ROUNDS', 5))

def opened(b, url, name):
    "Seconds until the page is ready"
    page = b.new_page(viewport=dict(width=1100, height=900))
    start = time.perf_counter()
    page.goto(url, timeout=PATIENCE, wait_until='commit')
    ready(page, name)
    seconds = time.perf_counter()-start
    page.close()
    return seconds

def main():
    with tempfile.TemporaryDirectory() as home, browser() as b:
        home = Path(home)
        sites = commands(home, model := make_files(home))
        if other := gradio(home, model): sites['Gradio'] = other
        seconds = {o: [] for o in sites}
        for name, command in sites.items():
            with served(command, home) as (url, _):
                for i in range(2 if 'seed' in name else ROUNDS):
                    seconds[name].append(opened(b, url, name))
                    time.sleep(4) # A kernel started ahead is there again
        rows = [dict(page=o, p50=round(statistics.median(s), 2), least=round(min(s), 2), most=round(max(s), 2), n=len(s)) for o, s in seconds.items()]
        at = {r['page']: r['p50'] for r in rows}
        met = at['eyewear, cold']*5 <= at["the seed's"] and at['eyewear, cold'] <= 1.3*at['empty page'] and at['eyewear'] <= .6*at['empty page'] and at['eyewear'] <= at.get('Gradio', 99)
        report('page_open', rows, unit='seconds', cold_times_as_fast_as_the_seed=round(at["the seed's"]/at['eyewear, cold'], 1),
            cold_against_empty=round(at['eyewear, cold']/at['empty page'], 2), started_ahead_against_empty=round(at['eyewear']/at['empty page'], 2),
            goal="cold: 5 times as fast as the seed's, within 1.3 of the empty page; started ahead: .6 of the empty page, no later than Gradio", met=bool(met))

if __name__ == '__main__': main()
