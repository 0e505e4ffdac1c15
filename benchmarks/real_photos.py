"""How wrong is a model on photos of real people? PHOTOS=<folder with a folder per label> (an offtopic/ among them is left out), cross-validated: each photo
is judged by a model that has seen neither it nor its near-duplicates, and the errors of all folds are counted together. Says so and ends where PHOTOS is not given."""
import os, tempfile, time
from _report import report

def main():
    folder = os.environ.get('PHOTOS')
    if not folder: return print('\n== real_photos\nskipped: give a folder of photos, PHOTOS=<folder with a folder per label>')
    from eyewear.clean import clean
    from eyewear.data.dataset import Dataset
    from eyewear.interpret import cross_probs
    from eyewear.data.folders import own_photos
    from eyewear.train import get_learner, get_backbone, usual_epochs, wilson
    rows = []
    with tempfile.TemporaryDirectory() as home:
        os.environ['EYEWEAR_HOME'] = home
        ds = Dataset.create(f'{home}/real')
        labels = {o: photos for o, photos in own_photos(folder).items() if o != 'offtopic'}
        for label, photos in labels.items():
            for found in photos: ds.add(found.load(), label, source='folder')
        clean(ds)
        backbone = get_backbone(os.environ.get('ARCH', 'tf_efficientnet_lite0'))
        learn = get_learner(ds, backbone)
        epochs = usual_epochs('cached', ds)
        for folds in (5, 10): # The last row is the figure: nine tenths to learn from
            start = time.time()
            files, probs = cross_probs(ds, learn, folds, epochs, files=ds.files())
            said = [learn.dls.vocab[i] for i in probs.argmax(1)]
            rows.append(dict(photos=len(files), folds=folds, epochs=epochs, **wilson(sum(a != f.parent.name for a, f in zip(said, files)), len(files)), seconds=round(time.time()-start)))
    best = rows[-1]['error']
    report('real_photos', rows, backbone=backbone.name, goal='at most 8 % of all photos, against the labels they were found under', met=best <= .08)

if __name__ == '__main__': main()
