"""What visitors cost, and whether many are served: memory of a kernel (PSS) of the page of 2021 and of ours, each after an answer; then VISITORS (20) at once on ours, each
with 5 photos of their own: every answer against what the model file itself says, the longest wait, and the memory of the server before, meanwhile and after they left."""
import os, tempfile, time
from pathlib import Path
import psutil
from _pages import PATIENCE, browser, commands, jpeg, make_files, ready, served
from _report import report
from page_answer import answer, choose, shown

VISITORS, PHOTOS = int(os.environ.get('VISITORS', 20)), 5

def kernels(proc): return [o for o in psutil.Process(proc.pid).children(recursive=True) if 'ipykernel' in ' '.join(o.cmdline())]

def memory(procs): return sum(o.memory_full_info().pss for o in procs)/2**20

def of_one(b, command, home, name, photo):
    "MiB of the kernel that has just given an answer"
    with served(command, home) as (url, proc):
        page = b.new_page(viewport=dict(width=1100, height=900))
        page.goto(url, timeout=PATIENCE)
        ready(page, name)
        answer(page, name, photo)
        most = max(memory([o]) for o in kernels(proc))
        page.close()
    return most

def crowd(b, command, home, clf):
    "VISITORS come at the same moment, then send photo after photo in turn"
    files = [[home/f'v{v}_{i}.jpg' for i in range(PHOTOS)] for v in range(VISITORS)]
    for v, own in enumerate(files):
        for i, f in enumerate(own): f.write_bytes(jpeg(800, 600, 90, seed=100+v*PHOTOS+i))
    with served(command, home) as (url, proc):
        family = lambda: [psutil.Process(proc.pid), *psutil.Process(proc.pid).children(recursive=True)]
        before, waits, wrong, start = memory(family()), [], 0, time.perf_counter()
        pages = [b.new_context(viewport=dict(width=1100, height=900)).new_page() for _ in range(VISITORS)]
        for p in pages: p.goto(url, timeout=PATIENCE, wait_until='commit')
        for p in pages: ready(p, 'eyewear')
        up = time.perf_counter()-start
        for i in range(PHOTOS):
            begun = [choose(p, p.locator('.ed-area'), own[i]) for p, own in zip(pages, files)]
            for p, own, t in zip(pages, files, begun):
                shown(p, own[i])
                waits.append(time.perf_counter()-t)
                wrong += f'Prediction: {clf(own[i]).label};' not in p.locator('.ea-answer').inner_text()
        meanwhile = memory(family())
        for p in pages: p.context.close()
        end = time.monotonic()+180 # A page that went without a goodbye keeps its place for a minute
        while len(kernels(proc)) > 1 and time.monotonic() < end: time.sleep(1)
        time.sleep(5)
        return dict(visitors=VISITORS, answers=len(waits), wrong=wrong, seconds_until_all_are_up=round(up, 1), longest_wait=round(max(waits), 2),
            mib_before=round(before), mib_meanwhile=round(meanwhile), mib_after=round(memory(family())), kernels_left=len(kernels(proc)))

def main():
    with tempfile.TemporaryDirectory() as home, browser() as b:
        home = Path(home)
        sites = commands(home, model := make_files(home))
        from eyewear.predict import Classifier
        (photo := home/'photo.jpg').write_bytes(jpeg(2400, 1800, 93))
        one = {o: round(of_one(b, sites[o], home, o, photo)) for o in ("the seed's", 'eyewear')}
        many = crowd(b, sites['eyewear'], home, Classifier(model))
        share = one['eyewear']/one["the seed's"]
        met = share <= .25 and not many['wrong'] and many['longest_wait'] <= 5 and many['mib_after'] <= many['mib_before']*1.2
        report('page_visitors', [many], mib_a_visitor=one, share_of_the_seed=round(share, 3),
            goal="a quarter of the seed's memory a visitor; all answers right, none waits over 5 s once the page is up, memory back afterwards", met=bool(met))

if __name__ == '__main__': main()
