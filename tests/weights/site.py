"""A web server that serves files, and misbehaves as real ones do."""

from __future__ import annotations

import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site:
    """Serve `files` on a free port.

    answers: functions of (request, content), one per request; `good` after the last.
    types: content types by the names of files.
    asked: method and headers of every request, in order.
    """

    def __init__(self):
        self.files = {}
        self.types = {}
        self.answers = []
        self.asked = []
        self.tag = '"1"'

    def __enter__(self):
        site = self

        class Request(BaseHTTPRequestHandler):
            def do_GET(self):
                site.asked.append((self.command, dict(self.headers)))
                content = site.files.get(self.path.lstrip("/"))
                self.tag = site.tag
                self.kind = site.types.get(self.path.lstrip("/"))
                answer = site.answers.pop(0) if site.answers else good
                if content is None and answer is good:
                    answer = status(404)
                answer(self, content)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Request)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def url(self, name):
        return f"http://127.0.0.1:{self.server.server_port}/{name}"

    def ranges(self):
        """Return the range of each request; None for the whole file."""
        return [headers.get("Range") for _, headers in self.asked]


def send(request, code, body, **headers):
    request.send_response(code)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), str(value))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)


def good(request, content):
    """Answer correctly, with a version, and with ranges on request."""
    match = re.match(r"bytes=(\d+)-", request.headers.get("Range", ""))
    if not match or request.headers.get("If-Range", request.tag) != request.tag:
        kind = {"Content_Type": request.kind} if request.kind else {}
        send(request, 200, content, Content_Length=len(content), ETag=request.tag, **kind)
        return
    start, total = int(match[1]), len(content)
    if start >= total:
        send(request, 416, b"", Content_Range=f"bytes */{total}", Content_Length=0)
        return
    part = content[start:]
    place = f"bytes {start}-{total - 1}/{total}"
    send(request, 206, part, Content_Length=len(part), Content_Range=place, ETag=request.tag)


def drops(share):
    """Announce the whole file, and close the connection after a share of it."""

    def answer(request, content):
        body = content[: int(len(content) * share)]
        send(request, 200, body, Content_Length=len(content), ETag=request.tag)

    return answer


def drops_after(count):
    """Answer correctly, but close the connection after `count` bytes."""

    def answer(request, content):
        whole, request.wfile = request.wfile, TruncatedStream(request.wfile, count)
        good(request, content)
        request.wfile = whole

    return answer


class TruncatedStream:
    """A stream that writes headers, and only the first `count` bytes of each block after them."""

    def __init__(self, stream, count):
        self._stream = stream
        self._count = count

    def write(self, block):
        headers = block.startswith(b"HTTP/")
        return self._stream.write(block if headers else block[: self._count])


def ignores_range(request, content):
    send(request, 200, content, Content_Length=len(content))


def drops_without_version(request, content):
    send(request, 200, content[: len(content) // 2], Content_Length=len(content))


def announces(length):
    def answer(request, content):
        body = content[:length]
        send(request, 200, body, Content_Length=length)

    return answer


def status(code, **headers):
    def answer(request, content):
        send(request, code, b"no", Content_Length=2, **headers)

    return answer


def page(kind):
    """Send a web page with status 200 and the given content type."""

    def answer(request, content):
        body = b"\n<!DOCTYPE html><html><body>Please log in</body></html>"
        send(request, 200, body, Content_Length=len(body), Content_Type=kind)

    return answer


def redirects(url):
    return status(302, Location=url)


def slow(seconds):
    def answer(request, content):
        time.sleep(seconds)
        good(request, content)

    return answer


def slow_half(seconds):
    """Send half of the file, and the rest after a pause."""

    def answer(request, content):
        half = len(content) // 2
        send(request, 200, content[:half], Content_Length=len(content), ETag=request.tag)
        request.wfile.flush()
        time.sleep(seconds)
        request.wfile.write(content[half:])

    return answer
