"""Counts visits in a file, and says what it believes of its machine."""
import json, os, signal, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FILE = '/data/visits'

def visits():
    try:
        with open(FILE) as f:
            return int(f.read())
    except FileNotFoundError:
        return 0

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        n = visits()
        if self.path == '/visit':
            n += 1
            with open(FILE, 'w') as f:
                f.write(str(n))
        with open('/sys/fs/cgroup/memory.max') as f:
            body = json.dumps({'visits': n, 'cpus': os.cpu_count(), 'limit': int(f.read())}).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

server = ThreadingHTTPServer(('', 8080), Handler)

def end(*_):
    print('asked to end', file=sys.stderr, flush=True)
    threading.Thread(target=server.shutdown).start()

signal.signal(signal.SIGINT, end)
print('ready, python', sys.version.split()[0], 'as', os.getuid(), flush=True)
server.serve_forever()
print('ended in order', flush=True)
