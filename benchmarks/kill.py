"""Kill -9 at 50 random moments of download, review and undo: what is lost, here and the seed's way?

The seed's way: `Image_1.jpg` written in place, folders renamed at the end; the cleaner's `unlink` and `shutil.move`, with no log."""
import io, json, random, shutil, signal, subprocess, sys, tempfile, threading, time, urllib.request
from contextlib import redirect_stdout, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import numpy as np
from PIL import Image

from eyewear.core import PhotoError
from eyewear.photo import open_photo
from eyewear.data.dataset import Dataset
from eyewear.data.fetch import Found, fetch

LABELS, EACH, MOMENTS = ('cups', 'plates'), 20, dict(download=18, review=16, undo=16)

def photo(i):
    "A photo of its own for each number; every third is so large that it is stored smaller"
    out = io.BytesIO()
    a = np.random.default_rng(i).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(a).resize((1200, 900) if i%3 == 0 else (400, 300)).save(out, 'JPEG')
    return out.getvalue()

PHOTOS = {f'/{o}/{i}.jpg': (1000*k+i) for k, o in enumerate(LABELS) for i in range(EACH)}

class Host(BaseHTTPRequestHandler):
    "A web of photos on loopback, a little slow"
    photos, asked = {}, 0
    def log_message(self, *args): pass
    def do_GET(self):
        data = self.photos[self.path]
        Host.asked += 1
        time.sleep(.02)
        with suppress(OSError):  # Who asked was killed
            self.send_response(200)
            self.send_header('Content-Length', str(len(data)))
            self.end_headers()
            self.wfile.write(data)

def addresses(port, label): return [f'http://127.0.0.1:{port}{p}' for p in PHOTOS if p.startswith(f'/{label}/')]

def get(ds, port):
    wanted = {o: (o, [Found(u) for u in addresses(port, o)]) for o in LABELS}
    return fetch(ds, wanted, EACH, 'loopback', allow=[f'127.0.0.1:{port}'], quiet=True)

# ---- what runs in the child that is killed

def say(*o): print(json.dumps(o), flush=True)

def child_download(path, port): get(Dataset.create(path), port)

def child_review(path, _):
    ds = Dataset(path)
    for k in range(3):
        for i, name in enumerate(sorted(r['file'].split('/')[1] for r in ds.rows)):
            to = (None, *LABELS)[(i+k)%3]
            ds.decide(name, to, by='person', why='benchmark')
            say(name, to)

def child_undo(path, _):
    ds = Dataset(path)
    while out := ds.undo(): say(out[0]['n'])

def seed_download(path, port):
    for label in LABELS:
        tmp = Path(path)/f'a search for {label}'
        tmp.mkdir(parents=True, exist_ok=True)
        for i, url in enumerate(addresses(port, label)):
            data = urllib.request.urlopen(url).read()
            with open(tmp/f'Image_{i}.jpg', 'wb') as f: f.write(data)
        shutil.rmtree(Path(path)/label, ignore_errors=True)
        tmp.rename(Path(path)/label)
        for f in (Path(path)/label).iterdir(): shutil.move(str(f), str(f).replace('Image', label))

def seed_review(path, _):
    for i, f in enumerate(sorted(Path(path).glob('[!.]*/*.jpg'))):
        to = (None, *LABELS)[i%3]
        if to is None: f.unlink()
        elif to != f.parent.name: shutil.move(str(f), Path(path)/to)
        say(f.name, to)

# ---- the parent

def kill(what, path, port, seconds=None):
    "Run a child and kill it after `seconds` of work; returns what it had said by then, and how long it worked"
    run = subprocess.Popen([sys.executable, __file__, what, str(path), str(port)], stdout=subprocess.PIPE, text=True)
    assert run.stdout.readline() == '"go"\n'
    t, said = time.monotonic(), []
    reader = threading.Thread(target=lambda: said.extend(run.stdout))
    reader.start()
    try: run.wait(seconds)
    except subprocess.TimeoutExpired: run.send_signal(signal.SIGKILL)
    took = time.monotonic()-t
    run.wait(); reader.join()
    return [json.loads(o) for o in said if o.endswith('\n')], took, run.returncode

def places(ds): return {f.name: f.parent.name for o in (*LABELS, '.removed') for f in (ds.path/o).glob('*.jpg')}

def filled(path):
    ds = Dataset.create(path)
    for url, i in PHOTOS.items(): ds.add(PICS[url], url.split('/')[1], source='loopback', image_url=url)
    return ds

def in_force(ds):
    "Photos that do not lie where their last decision says"
    want = {e['name']: e['to'] or '.removed' for e in ds.decisions()}
    return sum(places(ds)[n] != to for n, to in want.items())

def check_download(path, port, said, before):
    on_disk = {f.name: f.read_bytes() for o in LABELS for f in (path/o).glob('[!.]*')}
    ds = Dataset.create(path)
    kept = {f.name: f.read_bytes() for f in ds.files()}
    lost = sum(kept.get(n) != data for n, data in on_disk.items())+sum(r['status'] == 'missing' for r in ds.rows)
    get(ds, port)
    ds = Dataset(path)
    whole = {(r['image_url'], r['status']) for r in ds.rows} == {(u, 'ok') for o in LABELS for u in addresses(port, o)}
    return lost, 0, whole and ds.counts() == dict.fromkeys(LABELS, EACH), len(on_disk)

def check_review(path, port, said, before):
    ds = Dataset(path)
    log = [(e['name'], e['to']) for e in ds.decisions()]
    lost = len(before-set(places(ds)))
    forgotten = sum((n, to) != o for (n, to), o in zip(said, log))+max(len(said)-len(log), 0)+in_force(ds)
    ds.undo(all=True)
    done = all(n.startswith(o) for n, o in places(ds).items()) and not ds.decisions() and len(ds.split()) == len(before)
    return lost, forgotten, done, 0

def check_undo(path, port, said, before):
    ds = Dataset(path)
    lost, forgotten = len(before-set(places(ds))), len({n for n, in said} & {e['n'] for e in ds.decisions()})+in_force(ds)
    ds.undo(all=True)
    return lost, forgotten, all(n.startswith(o) for n, o in places(ds).items()) and not ds.decisions(), 0

def check_seed_download(path, port, said, before):
    "Photos that are cut off; which came from where stands nowhere, so the same search starts again from its first photo"
    lost, there = 0, list(path.rglob('*.jpg'))
    for f in there:
        try: open_photo(f)
        except PhotoError: lost += 1
    seed_download(path, port)
    return lost, 0, len(list(path.glob('*/*.jpg'))) == len(PHOTOS), len(there)

def check_seed_review(path, port, said, before):
    "Photos that were taken out are gone; no decision stands anywhere, so none can be told from a label that was right, or taken back"
    return len(before-{f.name for f in path.rglob('*.jpg')}), len(said), False, 0

def one(what, port, moments, rng):
    "A row of the table: `moments` kills of `what`"
    side, task = what.split('_')
    tmp = Path(tempfile.mkdtemp())
    try:
        base, whole = tmp/'base', None
        if task == 'download': base.mkdir()
        elif side == 'seed':
            for url, i in PHOTOS.items(): (base/Path(url).parent.name).mkdir(parents=True, exist_ok=True); (base/url[1:].replace('/', f'/{Path(url).parent.name}_')).write_bytes(PICS[url])
        else:
            ds = filled(base)
            if task == 'undo':
                for i, f in enumerate(ds.files()): ds.decide(f.name, (None, *LABELS)[i%3], by='person')
        before = {f.name for f in base.rglob('*.jpg')}
        shutil.copytree(base, tmp/'whole')
        whole = kill(what, tmp/'whole', port)[1]
        out = dict(lost=0, forgotten=0, opens=0, finished=0, killed=0, again=0)
        for k in range(4*moments):
            if out['killed'] == moments: break
            path = tmp/str(k)
            shutil.copytree(base, path)
            said, _, code = kill(what, path, port, rng.uniform(0, .9*whole))
            if code != -signal.SIGKILL: continue   # It was done already: another moment is drawn
            out['killed'] += 1
            asked = Host.asked
            try: lost, forgotten, done, had = globals()[f'check_{what if side == "seed" else task}'](path, port, said, before)
            except Exception as e: print(f'{what}, moment {k}: {type(e).__name__}: {e}', file=sys.stderr); continue
            again = Host.asked-asked-(len(PHOTOS)-had) if task == 'download' else 0
            for key, n in dict(lost=lost, forgotten=forgotten, opens=1, finished=done, again=again).items(): out[key] += n
        return dict(way='eyewear' if side == 'child' else "the seed's", task=task, killed=out['killed'], opens=out['opens'],
                    photos_lost=out['lost'], decisions_not_on_record=out['forgotten'], fetched_again=out['again'],
                    finished_or_undone=out['finished'], seconds_unkilled=round(whole, 2))
    finally: shutil.rmtree(tmp)

def main(seed=0):
    server = ThreadingHTTPServer(('127.0.0.1', 0), Host)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    rng, rows = random.Random(seed), []
    for task, n in MOMENTS.items():
        for side in ('child', 'seed'):
            if (side, task) != ('seed', 'undo'):
                with redirect_stdout(io.StringIO()): rows.append(one(f'{side}_{task}', server.server_port, n, rng))
    from _report import report
    report('kill', rows, photos=len(PHOTOS), seed=seed, undo="the seed's way has none")
    ours = [r for r in rows if r['way'] == 'eyewear']
    return not all(r['opens'] == r['finished_or_undone'] == r['killed'] == MOMENTS[r['task']] and r['photos_lost'] == r['decisions_not_on_record'] == 0 for r in ours)

if __name__ == '__main__':
    if len(sys.argv) > 2:
        print('"go"', flush=True)
        globals()[sys.argv[1]](sys.argv[2], sys.argv[3])
    else:
        PICS = Host.photos = {url: photo(i) for url, i in PHOTOS.items()}
        sys.exit(main())
