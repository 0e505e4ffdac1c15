"The app inside a notebook: plain JupyterLab, one cell, in a real browser."
import re, time
import pytest
from badphotos import picture
from browsing import choose
from conftest import comes_true, jupyterlab, notebook
from tinymodel import tiny_model

pytest.importorskip('jupyterlab', reason="JupyterLab comes with the extra `tutorial`")
PATIENCE = 120                                                        # Seconds

@pytest.fixture(scope='module')
def lab(tmp_path_factory):
    "Address of a notebook in a JupyterLab of its own"
    home = tmp_path_factory.mktemp('lab')
    tiny_model(home/'eyewear.onnx')
    (home/'page.ipynb').write_text(notebook("from eyewear.app import classifier_app\nclassifier_app('eyewear.onnx')"))
    with jupyterlab(home) as url: yield f'{url}lab/tree/page.ipynb'

@pytest.fixture(scope='module')
def page(browser, lab):
    "The notebook, its cell run"
    page = browser.new_page(viewport=dict(width=1200, height=1000))
    page.goto(lab, timeout=PATIENCE*1000)
    page.locator('.jp-Notebook .jp-CodeCell').wait_for(timeout=PATIENCE*1000)
    comes_true(page, "document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status == 'idle'", PATIENCE)
    has_run = page.locator('.jp-InputPrompt', has_text=re.compile(r'\[[*\d]'))
    end = time.monotonic()+PATIENCE
    while not has_run.count(): # A click that comes before all commands are there does nothing
        assert time.monotonic() < end, 'the cell does not run'
        for name in ('Run', 'Run All Cells'): page.get_by_role('menuitem', name=name, exact=True).click()
        page.wait_for_timeout(3000)
    page.locator('.ed-area').wait_for(timeout=PATIENCE*1000)
    return page

def test_photo_is_classified_below_the_cell(page):
    choose(page, page.locator('.ed-area'), ('green.png', picture('PNG', (640,480), 'lime')))
    page.locator('.ea-result > img').and_(page.get_by_alt_text('green.png', exact=True)).wait_for(timeout=60_000)
    assert page.locator('.ea-answer').inner_text() == 'Prediction: sunglasses; Probability: 1.0000'

def test_what_is_no_photo_is_a_sentence(page):
    choose(page, page.locator('.ed-area'), ('a.txt', b'no photo'))
    page.locator('.ea [role=status]').filter(has_text='a.txt: not a photo').first.wait_for(timeout=60_000)
    assert not page.locator('.ea-answer').count()

def test_page_follows_the_theme_of_the_notebook(page):
    colour = "getComputedStyle(document.querySelector('.ea h1')).color"
    light = page.evaluate(colour)
    page.get_by_role('menuitem', name='Settings', exact=True).click()
    page.locator('.lm-Menu-item', has_text='Theme').first.hover()
    page.locator('.lm-Menu-item', has_text='JupyterLab Dark').first.click()
    comes_true(page, f"{colour} != '{light}'")
