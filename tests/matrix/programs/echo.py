"""echo.py COMMAND…: runs COMMAND with an address as its last word, and prints the request that it sends there."""
import http.server, subprocess, sys, threading


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        sys.stdout.write(self.requestline + "\n")
        sys.stdout.write("".join(f"{name}: {value}\n" for name, value in self.headers.items()))
        sys.stdout.write("\n" + body.decode())
        sys.stdout.flush()
        self.send_response(204)
        self.end_headers()

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Echo)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.exit(subprocess.call(sys.argv[1:] + [f"http://127.0.0.1:{server.server_port}/"]))
