"""Servers of chats and mail on loopback: they take messages, refuse them, or say nothing, as a test wants."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer
from types import TracebackType
from typing import Any, Self


class Receiver:
    """``answers``: what it does with the next requests, the last one for good.

    An answer is a status, a pair of status and JSON, or ``"stall"``.
    """

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers) or [200]
        self.taken: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self._over = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._take(self)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_port

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        said = json.loads(body)
        self.requests.append((dict(request.headers), body))
        self.asked.append(said)
        self.paths.append(request.path)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer == "stall":
            self._over.wait(30)
            return
        status, body = answer if isinstance(answer, tuple) else (answer, {})
        if status == 200 and not body.get("errcode"):
            self.taken.append(said)
        request.send_response(status)
        request.end_headers()
        request.wfile.write(json.dumps(body).encode())

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def wait(self, count: int, timeout_s: float = 30.0) -> list[dict[str, Any]]:
        """The messages taken, once there are so many."""
        deadline = time.monotonic() + timeout_s
        while len(self.taken) < count:
            assert time.monotonic() < deadline, f"{len(self.taken)} of {count} messages came; asked {len(self.asked)}"
            time.sleep(0.05)
        return self.taken


class MailReceiver:
    """A mail server on loopback that speaks as much SMTP as a client needs; ``refuse``: what it answers to a letter."""

    def __init__(self, refuse: bytes | None = None) -> None:
        self.letters: list[bytes] = []
        receiver = self

        class Handler(StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"220 here\r\n")
                for line in self.rfile:
                    word = line[:4].upper()
                    if word == b"DATA":
                        self.wfile.write(b"354 go on\r\n")
                        letter = b"".join(iter(self.rfile.readline, b".\r\n"))
                        if refuse is None:
                            receiver.letters.append(letter)
                        self.wfile.write(refuse or b"250 taken\r\n")
                    else:
                        self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 well\r\n")
                    if word == b"QUIT":
                        return

        self._server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
