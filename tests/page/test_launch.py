"What starts the server: what is said before, the address, and how it ends."
import os, re, signal, subprocess, sys
from urllib.request import ProxyHandler, build_opener
import psutil, pytest
from eyewear.core import EyewearError
from eyewear.page.launch import max_message, page_notebook, serve, voila_config
from eyewear.page.widgets import max_bytes
from browsing import kernels, running, serving, until
from tinymodel import tiny_model

SERVE = 'import sys; from eyewear.page.launch import serve; serve(sys.argv[1], 0, pool=int(sys.argv[2]))'
open_url = build_opener(ProxyHandler({})).open

@pytest.fixture(scope='module')
def place(tmp_path_factory): return tmp_path_factory.mktemp('launch')

@pytest.fixture(scope='module')
def model(place): return tiny_model(place/'eyewear.onnx')

def family(proc): return [psutil.Process(proc.pid), *psutil.Process(proc.pid).children(recursive=True)]

def is_over(proc): return not proc.is_running() or proc.status() == psutil.STATUS_ZOMBIE

def visited(site, pool):
    "The page opened once; the processes that there are then"
    assert re.fullmatch(r'The app is at http://127\.0\.0\.1:\d+/ \(Ctrl-C ends it\)\n', site.said)
    assert len(kernels(site.proc)) == pool                              # that of the first page was given back
    with open_url(site.url, timeout=60) as r: r.read()
    procs = family(site.proc)
    assert len(procs) >= 3                                              # we, Voila, a kernel
    return procs

@pytest.mark.skipif(os.name != 'posix', reason='signals')
@pytest.mark.parametrize('sig,pool', [('SIGINT', 1), ('SIGTERM', 0), ('SIGHUP', 0)])
def test_signal_ends_it_cleanly(model, place, sig, pool):
    with running(SERVE, model, pool, cwd=place, sig=getattr(signal, sig)) as s: procs = visited(s, pool)
    assert s.proc.returncode == 0
    until(lambda: all(is_over(o) for o in procs), 20)
    assert s.proc.stderr.read() == '' and s.proc.stdout.read() == ''

@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='needs prctl')
def test_killed_leaves_no_child(model, place):
    with running(SERVE, model, 0, cwd=place, sig=signal.SIGKILL) as s: procs = visited(s, 0)
    until(lambda: all(is_over(o) for o in procs), 20)

def test_page_without_a_model_opens_and_the_log_says_why(place, capfd):
    gone = place/'gone.onnx'
    with serving(page_notebook(), gone, dict(visitors=2, pool=0)) as s:
        with open_url(s.url, timeout=60) as r: page = r.read().decode()
    assert not re.search(r'Traceback|could not be made|gone\.onnx|'+re.escape(str(place)), page)
    assert f'{gone}: there is no such model file' in capfd.readouterr().err # the owner reads more

def test_what_is_wrong_is_said_before_anything_starts(model, tmp_path, monkeypatch):
    def no(*args, **kwargs): raise AssertionError('something was started')
    monkeypatch.setattr(subprocess, 'Popen', no)
    monkeypatch.setenv('EYEWEAR_HOME', str(tmp_path))
    monkeypatch.delenv('EYEWEAR_MODEL', raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path/'broken.onnx').write_text('no model')
    other_size = tiny_model(tmp_path/'other_size.onnx', SIZE='128', RESIZE=None) # It takes photos of 224 pixels
    cases = {(None,): 'there is no model yet', (tmp_path/'broken.onnx',): 'broken.onnx', (model, 99_999): 'port 99999',
        (other_size,): 'other_size.onnx', (model, 0, '203.0.113.1'): '203.0.113.1', (model, 0, 'no such host'): 'no such host'}
    for args, word in cases.items():
        with pytest.raises(EyewearError) as e: serve(*args)
        assert word in str(e.value) and '\n' not in str(e.value)

def test_settings_that_visitors_need():
    config = voila_config(1234, '0.0.0.0')
    voila = config['Voila']
    assert voila.pop('tornado_settings')['websocket_max_message_size'] == max_message == max_bytes+2**20
    assert voila == dict(port=1234, ip='0.0.0.0', port_retries=0, open_browser=False, log_level='ERROR')
    assert config['MappingKernelManager']['cull_idle_timeout'] > 0
