"A host on this machine that gives what a test wants, and remembers what it was asked for."
import contextlib
import http.server
import threading
from types import SimpleNamespace

def reply(handler, data, status=200, size=None, **headers):
    "Answer a request; `size` is what the answer says of itself"
    handler.send_response(status)
    handler.send_header('Content-Length', str(len(data) if size is None else size))
    for k, v in headers.items(): handler.send_header(k.replace('_', '-'), v)
    handler.end_headers()
    with contextlib.suppress(OSError): handler.wfile.write(data)

@contextlib.contextmanager
def host(*pages, **headers):
    "Each page answers one request, the last one all that follow: bytes, or a function of the handler"
    asked = []
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            page = pages[min(len(asked), len(pages))-1]
            if callable(page): page(self)
            else: reply(self, page, **headers)
        def log_message(self, *args): pass
    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        def handle_error(self, *args): pass # A client that has heard enough hangs up
    with Server(('127.0.0.1', 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(.05,), daemon=True).start()
        yield SimpleNamespace(url=f'http://127.0.0.1:{server.server_port}', asked=asked)
        server.shutdown()
