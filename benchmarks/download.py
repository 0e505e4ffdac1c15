"600 photos of a slow, faulty web on loopback: eyewear's download against bing_image_downloader's own loop, in one run"
import contextlib, io, json, os, random, subprocess, sys, tempfile, time, urllib.request
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]/'tests'))
from photohost import PhotoHost, urllib_goes_to
from _report import report

PORTS, LATENCY, KB, LIMIT, TIMEOUT, GOAL = 16, .15, (40,400), 150, 5, 12
BAD = {'404':5, 'flaky':5, 'stall':2, 'stallonce':2}  # Of 200: 5 % errors and 2 % stalls, half of them for good, half gone when asked again

# ---- the web, in a process of its own

class Web(PhotoHost):
    "Finds 200 photos for any words, all on one page: the loop that is compared with never waits for a second one"
    topics = {}
    def words(self, q):
        first = 1000*self.topics.setdefault(q, len(self.topics))
        kinds = [k for k,n in BAD.items() for _ in range(n)]
        kinds += ['ok']*(200-len(kinds))
        random.Random(first).shuffle(kinds)
        return [self.url(f'/{kind}/{first+i}.jpg', i%PORTS) for i,kind in enumerate(kinds)]

def serve():
    with Web(PORTS, LATENCY, KB) as host:
        host.per_page = 200
        for i in range(16): host.photo(i)  # Drawn before the clock runs
        print(json.dumps(host.netlocs), flush=True)
        sys.stdin.read()

@contextlib.contextmanager
def web():
    "A fresh web, and urllib shown the way to it; yields the ports and a function that tells what was asked of it"
    server = subprocess.Popen([sys.executable, __file__, 'serve'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        netlocs = json.loads(server.stdout.readline())
        with urllib_goes_to(netlocs[0]): yield netlocs, lambda: json.load(urllib.request.urlopen(f'http://{netlocs[0]}/told'))
    finally: server.stdin.close(); server.wait(10)

# ---- the two sides

def theirs(folder):
    "The loop of the seed: one photo after the other, one try each; what failed is printed and forgotten"
    from bing_image_downloader import downloader
    from eyewear.download import query_dict
    with web() as (netlocs, told):
        said, t = io.StringIO(), time.monotonic()
        with contextlib.redirect_stdout(said):
            for query in query_dict.values(): downloader.download(query, limit=LIMIT, output_dir=folder, timeout=TIMEOUT, verbose=False)
        seconds, told = time.monotonic()-t, told()
    came = sum(f.is_file() for f in Path(folder).rglob('*'))
    return row('bing_image_downloader', seconds, came, said.getvalue().count('[!] Issue getting'), 0, told)

def ours(folder):
    "The same words and the same web through lesson 01"
    from eyewear.download import download
    os.environ['EYEWEAR_HOME'] = str(folder)
    with web() as (netlocs, told):
        t = time.monotonic()
        ds = download('bing', LIMIT, allow=netlocs, timeout=TIMEOUT, quiet=True)
        seconds, told = time.monotonic()-t, told()
    failed = [r for r in ds.rows if r['status']=='failed' and r['reason']]
    kept = {urlsplit(r['image_url']).path for r in ds.rows}
    missing = [p for p in told['asked'] if p.endswith('.jpg') and p not in kept]
    for why,n in Counter(r['reason'] for r in failed).most_common(): print(f'{n:5} x {why}')
    return row('eyewear', seconds, len(ds.files()), len(failed)+len(missing), len(failed), told)

def row(name, seconds, came, failed, noted, told):
    "A line of the table; checks that the web was as faulty for this side as it should be"
    kinds = Counter(p.split('/')[1] for p in told['asked'] if p.endswith('.jpg'))
    assert all(kinds[k]>=2*n for k,n in BAD.items()), f'{name}: too few of the bad answers were met ({dict(kinds)})'
    return dict(side=name, seconds=round(seconds, 1), photos=came, failures=failed, noted=noted, requests=sum(told['asked'].values()),
                MB=round(sum(told['sent'].values())/1e6))

def main():
    with tempfile.TemporaryDirectory() as tmp:
        rows = [ours(Path(tmp)/'ours'), theirs(Path(tmp)/'theirs')]
    ratio = rows[1]['seconds']/rows[0]['seconds']
    all_noted = rows[0]['noted']==rows[0]['failures'] and rows[0]['photos']==4*LIMIT
    report('download', rows, times_as_fast=round(ratio, 1), goal=f'{GOAL} times as fast, {4*LIMIT} photos, every failure in the manifest',
           reached=ratio>=GOAL and all_noted)

if __name__=='__main__': serve() if sys.argv[1:]==['serve'] else main()
