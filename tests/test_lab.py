"The app inside a notebook: plain JupyterLab, one cell, in a real browser."
import json, os, re, subprocess, sys, time
from urllib.request import ProxyHandler, build_opener
import pytest
from eyewear.page.launch import free_port, stop_server
from badphotos import picture
from conftest import comes_true
from tinymodel import tiny_model

pytest.importorskip('jupyterlab', reason="JupyterLab comes with the extra `tutorial`")
PATIENCE = 120                                                        # Seconds
open_url = build_opener(ProxyHandler({})).open

def notebook(code):
    cell = dict(cell_type='code', id='one', metadata={}, source=code, outputs=[], execution_count=None)
    kernel = dict(name='python3', display_name='Python 3', language='python')
    return json.dumps(dict(cells=[cell], nbformat=4, nbformat_minor=5, metadata=dict(kernelspec=kernel)))

def answers(url):
    try: return open_url(url, timeout=5).close() is None
    except OSError: return False

@pytest.fixture(scope='module')
def lab(tmp_path_factory):
    "Address of a notebook in a JupyterLab of its own"
    home = tmp_path_factory.mktemp('lab')
    port = free_port()
    tiny_model(home/'eyewear.onnx')
    (home/'page.ipynb').write_text(notebook("from eyewear.app import classifier_app\nclassifier_app('eyewear.onnx')"))
    folders = {f'JUPYTER{o}_DIR': str(home/o) for o in ('_CONFIG','LAB_SETTINGS','LAB_WORKSPACES')}
    cmd = [sys.executable, '-m', 'jupyterlab', '--no-browser', '--allow-root', f'--port={port}', '--IdentityProvider.token=',
        '--LabApp.news_url=None', f'--ServerApp.root_dir={home}']
    proc = subprocess.Popen(cmd, cwd=home, env=os.environ | folders, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f'http://127.0.0.1:{port}'
    end = time.monotonic()+PATIENCE
    try:
        while not answers(f'{url}/api'):
            assert proc.poll() is None and time.monotonic() < end, 'JupyterLab did not start'
            time.sleep(.5)
        yield f'{url}/lab/tree/page.ipynb'
    finally: stop_server(proc, 30)

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

def choose(page, name, data):
    with page.expect_file_chooser() as fc: page.locator('.ed-area').click()
    fc.value.set_files([dict(name=name, mimeType='', buffer=data)])

def test_photo_is_classified_below_the_cell(page):
    choose(page, 'green.png', picture('PNG', (640,480), 'lime'))
    page.locator('.ea-result > img').and_(page.get_by_alt_text('green.png', exact=True)).wait_for(timeout=60_000)
    assert page.locator('.ea-answer').inner_text() == 'Prediction: sunglasses; Probability: 1.0000'

def test_what_is_no_photo_is_a_sentence(page):
    choose(page, 'a.txt', b'no photo')
    page.locator('.ea [role=status]').filter(has_text='a.txt: not a photo').first.wait_for(timeout=60_000)
    assert not page.locator('.ea-answer').count()

def test_page_follows_the_theme_of_the_notebook(page):
    colour = "getComputedStyle(document.querySelector('.ea h1')).color"
    light = page.evaluate(colour)
    page.get_by_role('menuitem', name='Settings', exact=True).click()
    page.locator('.lm-Menu-item', has_text='Theme').first.hover()
    page.locator('.lm-Menu-item', has_text='JupyterLab Dark').first.click()
    comes_true(page, f"{colour} != '{light}'")
