"The model card: all that the run record has, and nothing that nobody measured."
import pytest, yaml
pytest.importorskip('fastai', reason='the light environment has no fastai')
from eyewear.core import record, run_dir
from eyewear.model.card import write_card
from tinylearner import tiny_dataset

FIGURE = dict(error=.025, low=.0085, high=.0709, n=120)
FULL = dict(labels=['glasses','none','sunglasses'], backbone='tf_efficientnet_lite0', how='cached',
    error_before=dict(FIGURE, error=.158), error_after=FIGURE,
    error_test=dict(before=dict(FIGURE, error=.083, left_out=3), after=dict(FIGURE, error=.017, n=119, left_out=3)),
    calibration=dict(temperature=.7123, threshold=.2512, ece_before=.0421, ece_after=.0119, n=120),
    per_label=dict(none=dict(precision=.981, recall=None, n=40)),
    final=dict(epochs=12),
    training=dict(epochs=12, seed=42, versions=dict(torch='2.15.0'), weights_sha256='ab'*32))

@pytest.fixture(autouse=True)
def run(tmp_path, monkeypatch): monkeypatch.setenv('EYEWEAR_RUN', str(tmp_path/'run'))

@pytest.fixture(scope='module')
def ds(tmp_path_factory): return tiny_dataset(tmp_path_factory.mktemp('toy')/'ds')

def card(ds, rec=None, **kwargs):
    "Head and body of the card for a run record"
    if rec: record(**rec)
    text = write_card(ds, **kwargs).read_text()
    _, head, body = text.split('---\n', 2)
    return yaml.safe_load(head), body

TOLD = ['15.8%', '2.5%', '8.3%', '1.7%', '0.9% to 7.1%', '98.1%', '0.712', '0.251', '0.042', '0.012', 'CC0 1.0', 'made up',
    '20 glasses', 'torch 2.15.0', '`12`', 'before the last training']

def test_card_tells_all_that_the_record_has(ds):
    from huggingface_hub import ModelCard
    head, body = card(ds, FULL, licence='apache-2.0')
    assert not [o for o in [*TOLD, ds.digest()] if o not in body]
    assert head['license'] == 'apache-2.0'
    assert head['pipeline_tag'] == 'image-classification'
    assert {'tags','datasets','metrics'} <= head.keys()
    results = ModelCard((run_dir()/'MODEL_CARD.md').read_text()).data.eval_results   # as the library reads it
    assert {(o.dataset_split, o.metric_value) for o in results} == {('validation',.975), ('test',.983)}

@pytest.mark.parametrize('gone', [*([o] for o in FULL), ['error_test','error_after'], list(FULL)], ids=' '.join)
def test_card_leaves_out_what_is_not_known(ds, gone):
    rec = {k: v for k, v in FULL.items() if k not in gone}
    head, body = card(ds, rec or dict(source='x'))
    assert not [o for o in ('none%','nan','more information','unknown unknown',' none to') if o in body.lower()]
    assert 'license' not in head
    assert ('## Calibration' in body) == ('calibration' not in gone)
    assert ('98.1%' in body) == ('per_label' not in gone)
    if not rec:
        assert '%' not in body.split('## Limits')[0]
        assert 'model-index' not in head

NO_FIGURE = dict(error=None, low=None, high=None, n=0)
NO_CALIBRATION = dict(temperature=1., threshold=None, ece_before=None, ece_after=None, n=0)

@pytest.mark.parametrize('rec', [dict(error_test=None), dict(error_test=dict(before=None, after=None)), dict(error_before=NO_FIGURE),
    dict(calibration=NO_CALIBRATION), dict(calibration=None, per_label=None, training=None)])
def test_card_of_a_run_that_measured_nothing(ds, rec):
    head, body = card(ds, rec)
    assert not [o for o in ('## Errors', '## Calibration', 'None') if o in body]
    assert '## Data' in body
    assert '## Limits' in body

def test_card_says_drawn_and_whose_licence_nobody_knows(tmp_path):
    ds = tiny_dataset(tmp_path/'ds', n=4)
    for row in ds.rows[:6]: row['source'] = 'practice'
    for row in ds.rows[6:]: row.update(source='<b>a | stranger</b>', licence='')
    ds.save()
    body = card(ds)[1]
    assert '6 photos are portraits drawn by a program' in body
    assert '6 photos came without a licence' in body
    assert '<b>' not in body
    for row in ds.rows: row['source'] = 'practice'
    body = card(ds)[1]
    assert 'All photos are portraits drawn' in body
    assert 'Nobody chose' not in body

def test_card_counts_decisions(tmp_path):
    ds = tiny_dataset(tmp_path/'ds', n=6)
    first, *_, last = ds.files()
    ds.decide(first.name, None, 'person')
    ds.decide(last.name, 'glasses', 'person')
    assert 'Decisions on single photos: 1 put under another label, 1 taken out.' in card(ds)[1]

@pytest.mark.parametrize('marks,command', [(dict(limit=40), '--source practice --limit 40 --labels cups'),
    ({}, '--source practice --labels cups')], ids=['searched','from a manifest'])
def test_card_says_how_to_make_it_again(tmp_path, marks, command):
    ds = tiny_dataset(tmp_path/'ds', n=4)
    ds.mark(name='practice', labels=['cups'], **marks)
    assert f'eyewear-run {command}' in card(ds)[1]
