"""Copies of each kind planted among drawn portraits of several seeds: precision and recall, with and without features; the time for 10,000
photos, beside comparing every photo with 19 views of every other, as this package did before. PHOTOS=<folder> adds photos of your own."""
import json, os, random, resource, subprocess, sys, tempfile, time
from io import BytesIO
from pathlib import Path
import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from _report import report
from eyewear.core import PhotoError
from eyewear.photo import open_photo
from eyewear.data.draw import STYLES, background, person, render, warm
from eyewear.data.duplicates import boxes, near_limit, near_pairs, thumb
from eyewear.data.practice import LABELS, portrait

SEEDS, N, TWINS, MANY = (101, 102, 103), int(os.environ.get('N', 600)), 160, int(os.environ.get('MANY', 10_000))

def crop(img, rng):
    (w, h), k = img.size, [1-rng.uniform(.05, .1) for _ in 'xy']
    x, y = rng.uniform(0, w*(1-k[0])), rng.uniform(0, h*(1-k[1]))
    return img.crop((int(x), int(y), int(x+w*k[0]), int(y+h*k[1])))

def curve(img, *gains, gamma=1): return img.point([min(255, round(255*(i/255)**gamma*g)) for g in gains or (1, 1, 1) for i in range(256)])

def light(img, brighter, stronger): return ImageEnhance.Contrast(curve(img, *[brighter]*3)).enhance(stronger)

def tint(img, rng): return curve(img, *[rng.uniform(.75, 1.1) for _ in 'rgb'])

def hue(img, turn):
    h, s, v = img.convert('HSV').split()
    return Image.merge('HSV', (h.point([(i+turn) % 256 for i in range(256)]), s, v)).convert('RGB')

def smaller(img, rng): return img.resize([int(o*rng.uniform(.4, .8)) for o in img.size], Image.Resampling.LANCZOS)

KINDS = {
    'compressed again': lambda img, rng: img,
    'made smaller': smaller,
    'cropped 5 to 10 %': crop,
    'mirrored': lambda img, rng: ImageOps.mirror(img),
    'recoloured: grey': lambda img, rng: img.convert('L'),
    'recoloured: light, contrast': lambda img, rng: light(img, rng.uniform(.7, 1.3), rng.uniform(.7, 1.3)),
    'recoloured: gamma': lambda img, rng: curve(img, gamma=rng.choice([.6, .7, 1.4, 1.6])),
    'recoloured: tint': lambda img, rng: tint(img, rng),
    'recoloured: saturation': lambda img, rng: ImageEnhance.Color(img).enhance(rng.choice([.3, .5, 1.6, 2])),
    'recoloured: another hue': lambda img, rng: hue(img, rng.randrange(15, 240)),
    'cropped, mirrored, tinted, made smaller': lambda img, rng: smaller(ImageOps.mirror(crop(tint(img, rng), rng)), rng)}

def jpeg(img, quality):
    out = BytesIO()
    img.convert('RGB').save(out, 'JPEG', quality=quality)
    return out.getvalue()

def planted(originals, seed):
    "JPEG bytes: `originals`, then a copy of each, the kinds in turn; kind of each copy"
    kinds, data = [list(KINDS)[i % len(KINDS)] for i in range(len(originals))], [jpeg(o, 90) for o in originals]
    for i, kind in enumerate(kinds):
        rng = random.Random(f'{seed} {i} {kind}')
        data.append(jpeg(KINDS[kind](Image.open(BytesIO(data[i])), rng), rng.randrange(40, 80)))
    return data, kinds

def drawn(seed):
    size = lambda i: random.Random(f'{seed} {i}').choice([360, 340, 320, 300, 280])
    return [portrait(LABELS[i//4 % 4], seed*1_000_000+i, STYLES[i % 4], size=size(i)) for i in range(N)]

def features_of(data):
    from eyewear.model.backbone import get_backbone
    from eyewear.model.features import features
    with tempfile.TemporaryDirectory() as tmp:
        files = [Path(tmp)/f'{i}.jpg' for i in range(len(data))]
        for f, d in zip(files, data): f.write_bytes(d)
        return features(files, get_backbone('tf_efficientnet_lite0'))

def score(pairs, kinds):
    "Pairs found, by kind of the copy in them: right and wrong; a pair of two originals counts under ''"
    n, out = len(kinds), {k: [0, 0] for k in [*KINDS, '']}
    for i, j, _ in pairs: out[kinds[j-n] if j >= n else ''][not (j >= n and j-n == i)] += 1
    return out

def rows_of(what, runs):
    "A row a kind and one for all, from `(kinds, score)` of each seed"
    for kind in [*KINDS, 'all']:
        planted = sum(k == kind or kind == 'all' for kinds, _ in runs for k in kinds)
        right, wrong = (sum(s[k][c] for _, s in runs for k in s if kind in (k, 'all')) for c in (0, 1))
        yield dict(photos=what, kind=kind, planted=planted, found=right, wrong=wrong, recall=right/planted,
            precision=right/max(1, right+wrong))

def border(pairs, kinds):
    "The difference of the worst copy found and of the nearest pair that is none"
    n, true = len(kinds), lambda p: p[1]-len(kinds) == p[0]
    return [round(d, 1) for *p, d in reversed(pairs) if true(p)][:5], [round(d, 1) for *p, d in pairs if not true(p)][:5]

def twins():
    "How many of `TWINS` avatars are taken for the same picture with and without glasses"
    data = []
    for i in range(TWINS):
        for label in ('none', 'glasses'):
            rng = random.Random(f'twin {i}')
            data.append(thumb(Image.open(BytesIO(jpeg(render(background(rng)+person(rng, label, STYLES[i % 4]), 320), 85)))))
    return sum(j == i+1 and i % 2 == 0 for i, j, _ in near_pairs(data)), near_pairs(data, limit=2*near_limit)

# -- The other side: each whole photo against 19 views of every other, as correlations of 16 x 16 points, then each candidate by itself

def old_way(thumbs, floor=.8):
    "The old `near_pairs`: `thumbs` are Pillow images of 128 x 128"
    whole = (0, 0, 1, 1)
    views = np.array([whole, *((x*(1-k)/2, y*(1-k)/2, x*(1-k)/2+k, y*(1-k)/2+k) for k in (.95, .9) for x in range(3) for y in range(3))])
    def cut(img, box, n): return np.asarray(img.resize((n, n), Image.Resampling.BILINEAR, box=tuple(o*128 for o in box)), dtype=np.float32)
    v = np.stack([cut(o, b, 16) for o in thumbs for b in views]).reshape(len(thumbs)*len(views), -1)
    v -= v.mean(1, keepdims=True)
    v /= np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1)
    k, n = len(views), len(thumbs)
    best, at = np.empty((n, n), np.float32), np.empty((n, n), np.int16)
    for s in range(0, n, 128):
        c = (v[s*k:(s+128)*k:k]@v.T).reshape(-1, n, k)
        best[s:s+128], at[s:s+128] = c.max(2), c.argmax(2)
    out = []
    for i, j in zip(*np.nonzero(np.triu(np.maximum(best, best.T), 1) >= floor)):
        a, b = (i, j) if best[i, j] >= best[j, i] else (j, i)
        small, box = cut(thumbs[a], whole, 64), views[at[a, b]].copy()
        error = lambda box: float(np.abs(small-cut(thumbs[b], box, 64)).mean())
        low = error(box)
        for step, hopeless in ((.02, 40), (.01, 20), (.005, 10)):
            if low > hopeless: break
            for _ in range(8):
                before = low
                for edge, way in [(e, w) for e in range(4) for w in (-step, step)]:
                    new = box.copy()
                    new[edge] = min(max(new[edge]+way, 0), 1)
                    if (err := error(new)) < low-1e-4: low, box = err, new
                if low == before: break
        d = np.abs((small-cut(thumbs[b], box, 64)).reshape(16, 4, 16, 4, 3).mean((1, 3))).max(2)
        if np.sort(d, axis=None)[-3] < 40: out.append((min(i, j), max(i, j), float(np.sort(d, axis=None)[-3])))
    return out

def seconds(f, *args):
    start = time.perf_counter()
    out = f(*args)
    return time.perf_counter()-start, out

def many():
    "Seconds and memory for `MANY` drawn portraits, in a process that does nothing else; their making is not counted"
    thumbs = np.stack([thumb(portrait(LABELS[i//4 % 4], 77_000_000+i, STYLES[i % 4], size=96)) for i in range(MANY)])
    rng = np.random.default_rng(0)   # Features made up, ten alike each: so each photo brings as many candidates as it may
    feats = np.repeat(rng.standard_normal((MANY//10+1, 1280), dtype=np.float32), 10, 0)[:MANY]
    feats += .3*rng.standard_normal((MANY, 1280), dtype=np.float32)
    with tempfile.TemporaryDirectory() as tmp:
        np.savez(f'{tmp}/many.npz', thumbs=thumbs, feats=feats/np.linalg.norm(feats, axis=1, keepdims=True))
        for how in ('by hash', 'by hash and features'):
            out = subprocess.run([sys.executable, __file__, f'{tmp}/many.npz', how], check=True, capture_output=True, text=True).stdout
            print(f'{MANY:,} drawn portraits {how}: {out}', flush=True)
            yield how, json.loads(out)

def peak():
    "Most memory of this process so far, MB; of Linux's two answers the one that starts anew with the program"
    try: return round(int(next(o for o in open('/proc/self/status') if o.startswith('VmHWM')).split()[1])/1024)
    except (OSError, StopIteration):
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024/(1024 if sys.platform == 'darwin' else 1))

def alone(file, how):
    "What a process of `many` does and prints"
    z = np.load(file)
    thumbs, feats = list(z['thumbs']), z['feats'] if 'features' in how else None
    before, cpu = peak(), time.process_time()
    s, pairs = seconds(near_pairs, thumbs, feats)
    cpu = round(time.process_time()-cpu, 1)
    print(json.dumps({'s': round(s, 1), 'processor s of all cores': cpu, 'pairs': len(pairs), 'peak MB': peak(), 'MB before': before}))

def main():
    warm()
    sets = {'drawn': [planted(drawn(s), s) for s in SEEDS]}
    if folder := os.environ.get('PHOTOS'):
        photos = []
        for f in sorted(o for o in Path(folder).rglob('*') if o.is_file()):
            try: photos.append(open_photo(f))
            except PhotoError: continue
            photos[-1].thumbnail((480, 480))
        sets['of PHOTOS'] = [planted(photos, 0)]
    else: print('PHOTOS is not set: drawn portraits only')
    rows, about = [], dict(limit=near_limit, seeds=SEEDS, photos_a_seed=2*N)
    for what, runs in sets.items():
        found = []
        for how in ('by hash', 'by hash and features'):
            scores = []
            for n, (data, kinds) in enumerate(runs):
                thumbs = [thumb(open_photo(d)) for d in data]
                pairs = near_pairs(thumbs, features_of(data) if 'features' in how else None, limit=2*near_limit)
                about[f'border, {what} {how}, set {n}: worst copies, nearest others'] = border(pairs, kinds)
                scores.append((kinds, score([p for p in pairs if p[2] < near_limit], kinds)))
            rows += rows_of(f'{what}, {how}', scores)
    paired, near = twins()
    about['avatars with and without glasses, paired'] = f'{paired} of {TWINS}'
    about['avatars with and without glasses, nearest'] = [round(d, 1) for i, j, d in near if j == i+1 and i % 2 == 0][:5]
    imgs = [open_photo(d) for d in sets['drawn'][0][0]][:N]
    old, _ = seconds(lambda: old_way([o.resize((128, 128), Image.Resampling.BOX) for o in imgs]))
    new, _ = seconds(lambda: near_pairs([thumb(o) for o in imgs]))
    about |= {f'old way, {len(imgs)} photos, s': round(old, 1), f'this way, {len(imgs)} photos, s': round(new, 1),
        f'old way, {MANY:,} photos, s, extrapolated by the square': round(old*(MANY/len(imgs))**2)}
    about |= {f'{MANY:,} photos': dict(many()), 'goal': '60 s for 10,000; precision and recall .95'}
    report('near_duplicates', rows, **about)

if __name__ == '__main__': alone(*sys.argv[1:]) if sys.argv[1:] else main()
