"Features of 600 drawn portraits from their files, against the bare forward pass of the same network on tensors in memory"
import tempfile, time
from pathlib import Path
import torch
from _report import report
from eyewear.model.backbone import get_backbone
from eyewear.model.features import feature_net, features
from eyewear.core import PhotoError
from eyewear.photo import open_photo
from eyewear.data.practice import practice_photos

N, BS, ROUNDS = 600, 32, 3

def portraits(folder):
    "`N` drawn practice portraits as files; those that are planted as broken are left out"
    files = []
    for p in practice_photos(limit=N//4+2):
        try: open_photo(p['bytes'])
        except PhotoError: continue
        files.append(folder/f'{len(files)}.jpg')
        files[-1].write_bytes(p['bytes'])
    return files[:N]

@torch.inference_mode()
def bare(net, batches):
    for b in batches: net(b)

def timed(f, *args):
    start = time.perf_counter()
    f(*args)
    return time.perf_counter()-start

def main():
    backbone = get_backbone('tf_efficientnet_lite0')
    net = feature_net(backbone).to(memory_format=torch.channels_last)
    batches = [torch.randn(min(BS, N-s), 3, 224, 224).contiguous(memory_format=torch.channels_last) for s in range(0, N, BS)]
    with tempfile.TemporaryDirectory() as tmp:
        files = portraits(Path(tmp))
        bare(net, batches[:2]), features(files[:2*BS], backbone, bs=BS)   # Both warm
        rounds = [(timed(bare, net, batches), timed(features, files, backbone, BS)) for _ in range(ROUNDS)]
    rows = [dict(what=o, **{f'round {i+1}, s': r[k] for i, r in enumerate(rounds)}, best=min(r[k] for r in rounds))
        for k, o in enumerate(('bare forward pass', 'features from files'))]
    ratio = rows[1]['best']/rows[0]['best']
    about = dict(photos=len(files), network=backbone.name, batch=BS, threads=torch.get_num_threads())
    report('features', rows, **about, ratio=round(ratio, 3), goal=1.3, met=ratio <= 1.3, ratio_of_each_round=[round(b/a, 3) for a, b in rounds])

if __name__ == '__main__': main()
