"""A world for daemons in tests: an HTTP server that reports balances and equity, and receives events.

The server runs in the test's own process, so it outlives every daemon.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import yaml
from standardwebhooks import Webhook

SECRET = "whsec_dGhpcyBpcyBvbmx5IGEgdGVzdCBzZWNyZXQ="
REFILL_CHANGED = "reservd.replenishment_changed.v1"
AMOUNTS = {"adequate": "110", "low": "74", "critical": "49"}


@dataclass
class Answer:
    """The answer to an event."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    hang_up: bool = False
    """Break the connection in the middle of the answer's body."""


class World:
    """Balances, equity, and a receiver of events; a context manager.

    Attributes:
        amounts: The balance of each mode; each has an equity of 1,000 and a target of 100.
        events: The received events, in order, without those that were refused.
        answer: The answer to the next events.
        not_understood: A type of messages at which the receiver fails.
        unanswered: A type of messages that the receiver does not answer while this is set.
        refusal: The answer to requests for balances and equity; None to report them.
        asked: The number of such requests.
        tries: The number of received events, including those that were refused.
        before_telling: Called before balances or equity are reported; may wait.
        clock_is_set: Whether the sender's clock may be wrong, so that messages are not refused for their age.
    """

    def __init__(self, *modes: str) -> None:
        self.amounts = dict.fromkeys(modes, AMOUNTS["adequate"])
        self.events: list[dict[str, Any]] = []
        self.answer = Answer()
        self.not_understood = ""
        self.unanswered = ""
        self.refusal: Answer | None = None
        self.asked = 0
        self.tries = 0
        self.before_telling: Callable[[], None] = lambda: None
        self.clock_is_set = False
        world = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                world.asked += 1
                if world.refusal is not None:
                    self._reply(world.refusal.status, b"", world.refusal.headers)
                    return
                world.before_telling()
                told = world.amounts if self.path.startswith("/balances") else {"equity": "1000", "currency": "USDT"}
                self._reply(200, json.dumps(told).encode(), {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = world.answer
                world.tries += 1
                time.sleep(answer.delay_seconds)
                world.check(body, self.headers)
                if answer.hang_up:
                    self.send_response(200)
                    self.send_header("Content-Length", "100")
                    self.end_headers()
                    self.wfile.write(b"half of")
                    self.close_connection = True
                    return
                event = json.loads(body)
                world.wait_before_answering(event.get("type"))
                answer = Answer(500) if event.get("type") == world.not_understood else answer
                if answer.status == 200:
                    world.events.append(event)
                self._reply(answer.status, b"", answer.headers)

            def _reply(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

            def handle(self) -> None:
                with contextlib.suppress(OSError):  # the daemon was killed
                    super().handle()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.unanswered = ""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait_before_answering(self, kind: str | None) -> None:
        """Wait while messages of this type are not answered."""
        while kind == self.unanswered:
            time.sleep(0.05)

    def check(self, body: bytes, headers: Message) -> None:
        """Check the signature and the age of an event."""
        webhook = Webhook(SECRET)
        if not self.clock_is_set:
            webhook.verify(body, dict(headers.items()))
            return
        sent_at = datetime.fromtimestamp(float(headers["webhook-timestamp"]), UTC)
        assert headers["webhook-signature"] == webhook.sign(headers["webhook-id"], sent_at, body.decode())

    def set(self, mode: str, status: str) -> None:
        """Set the balance of a mode to that of a status word."""
        self.amounts[mode] = AMOUNTS[status]

    def kinds(self, mode: str) -> list[str]:
        """Return the kinds of a mode's events as they came, without repetitions and reminders."""
        seen: dict[str, str] = {}
        for event in self.events:
            if event["subject"] == mode and not event["data"].get("reminder", event["type"] == REFILL_CHANGED):
                seen.setdefault(event["id"], event["data"]["event_type"].removeprefix("reserve_"))
        return list(seen.values())

    def write_config(
        self,
        folder: Path,
        store_url: str = "",
        *,
        interval: float = 0.1,
        defaults: Mapping[str, Any] | None = None,
        sink: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write a configuration that reads all modes from here and sends their events here, and return its path."""
        document = {
            "modes": "modes/*.yaml",
            "store": {"url": store_url} if store_url else {},
            "log": {"level": "info", "format": "json"},
            "defaults": {
                "reserve_ratio": "0.1",
                "reserve_monitoring_interval": interval,
                "reserve_equity_source": "nav",
                "reserve_event_sinks": ["ops"],
                **(defaults or {}),
            },
            "equity_sources": {
                "nav": {
                    "plugin": "http_json",
                    "options": {"url": f"{self.url}/equity", "equity": "$.equity", "currency": "$.currency"},
                }
            },
            "balance_sources": {
                "treasury": {
                    "plugin": "http_json",
                    "options": {
                        "url": f"{self.url}/balances",
                        "balances": [
                            {"account": mode, "asset": "USDT", "amount": f"$.{mode}"} for mode in self.amounts
                        ],
                    },
                }
            },
            "event_sinks": {
                "ops": {
                    "plugin": "webhook",
                    "options": {
                        "url": f"{self.url}/events",
                        "secret": SECRET,
                        "allow_private_hosts": ["127.0.0.1"],
                        "timeout": 10,
                    },
                    "retry": {"first": 0.05, "longest": 0.5},
                    **(sink or {}),
                }
            },
        }
        for mode in self.amounts:
            path = folder / "modes" / f"{mode}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            keys = {"mode": mode, "share_class": "USDT", "reserve_balance_sources": [f"treasury/{mode}"]}
            path.write_text(yaml.safe_dump(keys))
        config = folder / "reservd.yaml"
        config.write_text(yaml.safe_dump(document))
        return config
