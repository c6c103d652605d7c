import http.server, os, signal, socket, sys


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"Python {sys.version.split()[0]} on {socket.gethostname()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
Server(("::", int(os.environ["PORT"])), Page).serve_forever()
