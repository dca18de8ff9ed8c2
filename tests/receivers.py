"""A chat's server on loopback: takes messages, refuses them, says nothing, or says "too many", as a test wants."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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
        said = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
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
