"What the tests of the pages share: a server with a page, what is below it, somebody with a browser."
import os, re, signal, subprocess, sys, time
from contextlib import contextmanager, suppress
from types import SimpleNamespace
import psutil
from eyewear.page.launch import free_port, start_server, stop_server, wait_for_page

def until(f, patience=90):
    "Wait until `f()` is true, and return it"
    end = time.monotonic()+patience
    while not (out := f()):
        assert time.monotonic() < end, 'it never came true'
        time.sleep(.1)
    return out

def kernels(proc):
    "The kernels below a process"
    found = []
    for o in psutil.Process(proc.pid).children(recursive=True):
        with suppress(psutil.Error):
            if 'ipykernel' in ' '.join(o.cmdline()): found.append(o)
    return found

@contextmanager
def serving(page, model=None, guard={}, **env):
    "The server of a notebook and its address, once the page answers"
    port = free_port(0)
    url = f'http://127.0.0.1:{port}/'
    proc = start_server(page, model, port, '127.0.0.1', guard, **env)
    try:
        wait_for_page(proc, url, guard.get('pool', 1))
        yield SimpleNamespace(proc=proc, url=url)
    finally: stop_server(proc)

@contextmanager
def running(code, *args, cwd, sig=signal.SIGINT):
    "A Python of its own, ended by `sig`: the process, what it printed up to the address of its page, that address"
    env = {k: v for k, v in os.environ.items() if k != 'EYEWEAR_MODEL'} | dict(EYEWEAR_HOME=str(cwd))
    pipe = subprocess.PIPE
    cmd = [sys.executable, '-c', code, *map(str, args)]
    proc = subprocess.Popen(cmd, cwd=cwd, env=env, stdout=pipe, stderr=pipe, text=True)
    try:
        said = ''
        while 'Ctrl-C' not in said:
            line = proc.stdout.readline()
            assert line, proc.stderr.read()
            said += line
        yield SimpleNamespace(proc=proc, said=said, url=re.search(r'http://\S+', said)[0])
    finally:
        if proc.poll() is None: proc.send_signal(sig)
        try: proc.wait(30)
        finally: proc.kill()

def choose(page, button, *files):
    "Press a button and choose files by name and bytes, as they are"
    with page.expect_file_chooser() as fc: button.click()
    fc.value.set_files([dict(name=n, mimeType='', buffer=d) for n, d in files])

class Visitor:
    "Somebody who looks at a page"
    def __init__(self, browser, width=1100, height=900, **context):
        self.context = browser.new_context(viewport=dict(width=width, height=height), **context)
        self.page = self.context.new_page()
    def __enter__(self): return self
    def __exit__(self, *args): self.context.close()
    def button(self, name): return self.page.get_by_role('button', name=name)
    def fits(self): return self.page.evaluate('document.documentElement.scrollWidth <= innerWidth')
