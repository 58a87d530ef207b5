"""A real HTTP server for tests: accepts events and refill requests, reports equity, and misbehaves on demand."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from standardwebhooks import Webhook

from support.polling import wait_until

SECRET = "whsec_dGhpcyBpcyBvbmx5IGEgdGVzdCBzZWNyZXQ="


class Receiver:
    """Listens on 127.0.0.1; a context manager.

    Attributes:
        url: The URL at which it listens.
        events: The bodies of events about reserves POSTed to `/events`, signature verified, in order.
        changes: Those of events about requests for refills.
        refills: The bodies POSTed to `/refills`, likewise.
        equity: The answer to GET `/equity`; None answers 503.
        answer: The answer to a refill request.
    """

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.changes: list[dict[str, Any]] = []
        self.refills: list[dict[str, Any]] = []
        self.equity: str | None = "1000000"
        self.answer: dict[str, Any] = {"status": "accepted", "reference": "unwind-1"}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if receiver.equity is None:
                    self.send_error(503)
                    return
                self._reply(json.dumps({"nav": {"total": receiver.equity, "currency": "USDT"}}))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                Webhook(SECRET).verify(body, dict(self.headers.items()))
                told = json.loads(body)
                if self.path == "/refills":
                    receiver.refills.append(told)
                else:
                    of_refill = told["type"] == "reservd.replenishment_changed.v1"
                    (receiver.changes if of_refill else receiver.events).append(told)
                self._reply(json.dumps(receiver.answer) if self.path == "/refills" else "")

            def _reply(self, text: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait_for_event(self, kind: str, number: int = 1) -> dict[str, Any]:
        """Return the data of the nth event of a kind, not counting reminders."""

        def found() -> list[dict[str, Any]]:
            data = [event["data"] for event in self.events]
            return [each for each in data if each["event_type"] == kind and not each["reminder"]]

        wait_until(lambda: len(found()) >= number, f"{kind} number {number}, got {self.kinds()}")
        return found()[number - 1]

    def refill_states(self, refill: str) -> list[str]:
        """Return the reported states of a request for a refill, in order."""
        return [each["data"]["state"] for each in self.changes if each["data"]["replenishment_id"] == refill]

    def kinds(self) -> list[str]:
        """Return the kinds of the received events, in order, without reminders."""
        return [event["data"]["event_type"] for event in self.events if not event["data"]["reminder"]]
