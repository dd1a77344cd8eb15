# hub.py - a model hub on loopback: nginx, and a proxy in front of it that fails as it is told
#
# SPDX-License-Identifier: LGPL-3.0-or-later
import http.client
import http.server
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.parse


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


CONFIGURATION = """\
{user}
daemon off;
master_process off;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log;
events {{ worker_connections 64; }}
http {{
  log_format asked '$server_port $request_method $uri [$http_range] $status $body_bytes_sent [$http_authorization]';
  access_log {prefix}/access.log asked;
  client_body_temp_path {prefix}/body;
  proxy_temp_path {prefix}/proxy;
  fastcgi_temp_path {prefix}/fastcgi;
  uwsgi_temp_path {prefix}/uwsgi;
  scgi_temp_path {prefix}/scgi;
  default_type application/octet-stream;
  server {{ listen 127.0.0.1:{ranges}; root {root}; }}
  server {{ listen 127.0.0.1:{whole}; root {root}; max_ranges 0; }}
  server {{
    # As the published hub does: it names the contents, and sends whoever wants them to another host.
    listen 127.0.0.1:{linking};
    root {root};
    rewrite ^(.*)/resolve/0123456789abcdef0123456789abcdef01234567/(.*)$ $1/resolve/main/$2;
    location ~ \\.(safetensors|pt)$ {{
      include {prefix}/links.conf;
      add_header X-Repo-Commit 0123456789abcdef0123456789abcdef01234567 always;
      return 302 http://127.0.0.1:{ranges}$uri;
    }}
  }}
  server {{
    # The same files, of a commit with another name.
    listen 127.0.0.1:{elsewhere};
    root {root};
    rewrite ^(.*)/resolve/76543210fedcba9876543210fedcba9876543210/(.*)$ $1/resolve/main/$2;
    location ~ \\.(safetensors|pt)$ {{
      include {prefix}/links.conf;
      add_header X-Repo-Commit 76543210fedcba9876543210fedcba9876543210 always;
      return 302 http://127.0.0.1:{ranges}$uri;
    }}
  }}
}}
"""


class Nginx:
    """The files under `root`, on four ports: with ranges, without, and twice as links to the first."""

    def __init__(self, root, prefix, program):
        os.makedirs(prefix, exist_ok=True)
        self.prefix = prefix
        self.ports = {name: free_port() for name in ("ranges", "whole", "linking", "elsewhere")}
        with open(os.path.join(prefix, "links.conf"), "w") as file:
            file.write(links(root))
        with open(os.path.join(prefix, "nginx.conf"), "w") as file:
            file.write(CONFIGURATION.format(user="user root;" if os.getuid() == 0 else "", prefix=prefix, root=root,
                                            **self.ports))
        self.process = subprocess.Popen([program, "-p", prefix, "-c", os.path.join(prefix, "nginx.conf"), "-e",
                                         os.path.join(prefix, "error.log")], stdin=subprocess.DEVNULL)
        wait_for(self.ports["ranges"], self.process)

    def address(self, name="ranges"):
        return f"http://127.0.0.1:{self.ports[name]}"

    def log(self):
        with open(os.path.join(self.prefix, "access.log")) as file:
            return file.read().splitlines()

    def clear_log(self):
        os.truncate(os.path.join(self.prefix, "access.log"), 0)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def links(root):
    """What the linking server says of each large file."""
    import hashlib

    lines = ["set $size 0; set $hash none;"]
    for folder, _, names in os.walk(root):
        for name in names:
            if name.endswith((".safetensors", ".pt")):
                path = os.path.join(folder, name)
                uri = os.path.relpath(path, root)
                with open(path, "rb") as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
                lines.append(f'if ($uri = "/{uri}") {{ set $size {os.path.getsize(path)}; set $hash {digest}; }}')
    # Files that there are not must be so here as well.
    lines.append("if ($size = 0) { return 404; }")
    lines.append('add_header X-Linked-Size $size always; add_header X-Linked-ETag "\\"$hash\\"" always;')
    return "\n".join(lines) + "\n"


def wait_for(port, process):
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError(f"nginx ended with status {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("nginx does not answer")


class Faults:
    """What the proxy does to the answers for large files. Counts are of requests still to be hit."""

    def __init__(self):
        self.cuts = 0  # break off after a random number of bytes
        self.cut_from, self.cut_to = 1, 400_000
        self.refuse = None  # (status, headers, count)
        self.etag = None  # in place of the real one
        self.total = None  # in place of the real size in Content-Range
        self.only = None  # a part of the path of what is hit
        self.etag_after_cut = None  # in place of the real one from then on
        self.delay = 0.0  # seconds for each 64 KiB
        self.kill = None  # (bytes in all, process): sent a signal when that much went out
        self.signal = signal.SIGKILL
        self.kill_at = None  # (end of a path, process): sent the signal when that is asked for
        self.at = None  # (bytes in all, function): called when that much went out
        self.sent = 0  # bytes in all
        self.random = random.Random(7)

    def count(self, size):
        self.sent += size
        if self.kill and self.sent >= self.kill[0]:
            process, self.kill = self.kill[1], None
            os.kill(process, self.signal)
        if self.at and self.sent >= self.at[0]:
            function, self.at = self.at[1], None
            function()


class QuietServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients that are killed leave connections behind."""


class Proxy:
    """In front of an Nginx, with faults."""

    def __init__(self, target):
        self.target = target
        self.faults = Faults()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *words):
                pass

            def do_GET(self):
                outer.forward(self)

            do_HEAD = do_GET

        self.server = QuietServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def address(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def reset(self):
        self.faults = Faults()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def refuse(self, handler, status, headers):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def forward(self, handler):
        faults = self.faults
        if faults.kill_at and handler.path.endswith(faults.kill_at[0]):
            os.kill(faults.kill_at[1], faults.signal)
        hit = faults.only is None or faults.only in handler.path
        if hit and faults.refuse and faults.refuse[2] > 0:
            status, headers, count = faults.refuse
            faults.refuse = (status, headers, count - 1)
            self.refuse(handler, status, headers)
            return
        upstream = http.client.HTTPConnection("127.0.0.1", self.target)
        upstream.request(handler.command, handler.path,
                         headers={k: v for k, v in handler.headers.items() if k.lower() not in ("host", "connection")})
        answer = upstream.getresponse()
        handler.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() in ("server", "date", "connection", "keep-alive"):
                continue
            if name == "ETag" and faults.etag and hit:
                value = faults.etag
            if name == "Content-Range" and faults.total and hit:
                value = value.rsplit("/", 1)[0] + f"/{faults.total}"
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command == "GET":
            self.relay(handler, answer, faults, hit)
        upstream.close()

    def relay(self, handler, answer, faults, hit):
        limit = None
        length = int(answer.getheader("Content-Length", "0"))
        if hit and faults.cuts > 0 and length > max(faults.cut_from, 20_000):
            limit = faults.random.randint(faults.cut_from, min(faults.cut_to, length - 1))
            faults.cuts -= 1
        sent = 0
        while True:
            data = answer.read(min(65536, limit - sent) if limit is not None else 65536)
            if not data:
                break
            try:
                handler.wfile.write(data)
            except OSError:
                handler.close_connection = True
                return
            sent += len(data)
            faults.count(len(data))
            if faults.delay:
                time.sleep(faults.delay)
        if limit is not None:
            # A connection that breaks, not one that ends.
            handler.wfile.flush()
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
            faults.etag = faults.etag_after_cut or faults.etag


class ForwardProxy:
    """What http_proxy names: asked for whole addresses."""

    def __init__(self):
        self.n_requests = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *words):
                pass

            def do_GET(self):
                outer.n_requests += 1
                address = urllib.parse.urlsplit(self.path)
                upstream = http.client.HTTPConnection(address.hostname, address.port)
                upstream.request(self.command, address.path, headers={
                    k: v for k, v in self.headers.items() if k.lower() not in ("connection", "proxy-connection")})
                answer = upstream.getresponse()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("server", "date", "connection", "keep-alive"):
                        self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(answer.read())
                except OSError:
                    self.close_connection = True
                upstream.close()

            do_HEAD = do_GET

        self.server = QuietServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def address(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def find_nginx():
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
