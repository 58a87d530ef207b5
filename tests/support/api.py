"""A daemon with tokens, and calls of its API.

with ApiDaemon(tmp_path) as daemon:
    daemon.post("/api/v1/modes/alpha/withdrawals", {"amount": "5"}, token="treasury", key="k")
"""

import http.client
import json
import signal
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml

from reservd.web.access.principal import Role
from reservd.web.access.tokens import describe_token
from support.daemon import ReservdProcess
from support.polling import wait_until
from support.ports import kept_port
from support.world import SECRET, World

TOKENS = {
    "reader": (Role.READ, ()),
    "alpha-bot": (Role.STRATEGY, ("alpha",)),
    "treasury": (Role.TREASURY, ()),
    "admin": (Role.ADMIN, ()),
}
"""The names that have a token; the token is `rsv_` and the name."""

CALM = 1.0
"""Seconds between checks. Long, so that a late reading on a busy machine does not make withdrawals slow."""
_TIMEOUT_SECONDS = 60.0


class Reply(NamedTuple):
    """The answer to a call."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.text)

    @property
    def problem(self) -> str:
        """The last part of the problem's type."""
        assert self.headers["content-type"] == "application/problem+json", self
        assert self.json["status"] == self.status
        return str(self.json["type"]).rpartition(":")[2]


def call(
    address: str,
    method: str,
    path: str,
    body: object = None,
    *,
    token: str | None = None,
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Make a call.

    Args:
        address: `host:port`.
        method: `GET` or `POST`.
        path: With the query.
        body: Sent as JSON; bytes are sent unchanged; None for none.
        token: The name of a token, one of `TOKENS`; any other text is the token itself.
        key: The idempotency key.
        headers: More headers.
    """
    sent = {"Content-Type": "application/json"} if body is not None else {}
    if token is not None:
        sent["Authorization"] = f"Bearer {f'rsv_{token}' if token in TOKENS else token}"
    if key is not None:
        sent["Idempotency-Key"] = key
    content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request(method, path, content, {**sent, **(headers or {})})
        answer = connection.getresponse()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode())
    finally:
        connection.close()


def write_tokens(path: Path, names: Iterable[str] = TOKENS) -> Path:
    """Write the file of tokens and return its path."""
    lines = [describe_token(f"rsv_{name}", name, *TOKENS[name], expires=None) for name in names]
    path.write_text("\n".join(["tokens:", *lines, ""]))
    return path


def write_api_config(
    world: World,
    folder: Path,
    store_url: str = "",
    *,
    refilled: Iterable[str] = (),
    over_api: Iterable[str] = (),
    refill: Mapping[str, object] | None = None,
    interval: float = 0.1,
    **web: object,
) -> Path:
    """Write a configuration of a world with tokens, and return its path.

    Args:
        world: Its balances, equity and receiver.
        folder: The folder to write to.
        store_url: The URL of its store; by default a file in the folder.
        refilled: Modes with a replenisher that sends requests to the world.
        over_api: Modes whose strategies take requests from the API.
        refill: More options of both kinds of modes.
        interval: The seconds between two checks.
        web: More keys of the section `web`.
    """
    config = world.write_config(folder, store_url, interval=interval)
    document = yaml.safe_load(config.read_text())
    document["web"] = {"tokens_file": str(write_tokens(folder / "tokens.yaml")), **web}
    options = {"url": f"{world.url}/refill", "secret": SECRET, "allow_private_hosts": ["127.0.0.1"]}
    document["replenishers"] = {"unwinder": {"plugin": "webhook", "options": options}, "strategies": {"plugin": "api"}}
    named = {**dict.fromkeys(refilled, "unwinder"), **dict.fromkeys(over_api, "strategies")}
    for mode, name in named.items():
        with (folder / "modes" / f"{mode}.yaml").open("a") as file:
            file.write(yaml.safe_dump({"reserve_replenisher": name, **(refill or {})}))
    config.write_text(yaml.safe_dump(document))
    return config


class ApiDaemon:
    """A daemon that watches the modes `alpha` and `beta`; a context manager.

    Attributes:
        world: Its balances, equity and receiver.
        process: The daemon.
    """

    def __init__(
        self,
        folder: Path,
        store_url: str = "",
        *,
        refilled: Iterable[str] = (),
        over_api: Iterable[str] = (),
        refill: Mapping[str, object] | None = None,
        interval: float = 0.1,
        **web: object,
    ) -> None:
        """Prepare it.

        Args:
            folder: The folder of its configuration.
            store_url: The URL of its store; by default a file in the folder.
            refilled: Modes with a replenisher that sends requests to the world.
            over_api: Modes whose strategies take requests from the API.
            refill: More options of both kinds of modes.
            interval: The seconds between two checks.
            web: More keys of the section `web` of its configuration.
        """
        self._resources = ExitStack()
        self._running = ExitStack()
        self.world = World("alpha", "beta")
        modes = {"refilled": refilled, "over_api": over_api, "refill": refill, "interval": interval}
        self._config: dict[str, Any] = {"folder": folder, "store_url": store_url, **modes, **web}
        self._file: Path
        self.process: ReservdProcess

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            starting.enter_context(self.world)
            self._file = write_api_config(self.world, **self._config)
            starting.callback(self._running.close)
            self._place = f"127.0.0.1:{starting.enter_context(kept_port())}"
            self._run()
            self._resources = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop the daemon; `start` starts another one in its place."""
        self.process.stop(number)

    def start(self) -> None:
        """Start another daemon after `stop`, at the same address, and on the same store if it has a URL."""
        self._running.close()
        self._run()

    def _run(self) -> None:
        self.process = self._running.enter_context(ReservdProcess(self._file, listens=self._place))

    @property
    def address(self) -> str:
        """The address at which it listens."""
        return self.process.address

    def get(self, path: str, **how: Any) -> Reply:
        """Send a GET request; see `call`."""
        return call(self.address, "GET", path, **how)

    def post(self, path: str, body: object = None, **how: Any) -> Reply:
        """Send a POST request as clients should: repeat it while the store is late, as it may be on a busy machine."""
        replies: list[Reply] = []

        def is_answered() -> bool:
            replies.append(self.post_once(path, body, **how))
            return replies[-1].status != 503

        wait_until(is_answered, "an answer")
        return replies[-1]

    def post_once(self, path: str, body: object = None, **how: Any) -> Reply:
        """Send a POST request; see `call`."""
        return call(self.address, "POST", path, body, **how)

    def hold(self, mode: str, amount: str, name: str) -> tuple[str, Reply]:
        """Have a withdrawal accepted that the reserve pays in full, and return its key and the answer.

        While a check has found nothing in time, as on a busy machine, withdrawals are to be unwound: such a one is
        cancelled, and another is asked for.

        Args:
            mode: The mode.
            amount: The amount.
            name: What its key begins with.
        """
        made: list[tuple[str, Reply]] = []

        def is_held() -> bool:
            if self.get(f"/api/v1/modes/{mode}/withdrawal-speed?amount={amount}").json["speed"] != "fast":
                return False
            key = f"{name}-{len(made)}"
            reply = self.post(f"/api/v1/modes/{mode}/withdrawals", {"amount": amount}, token="treasury", key=key)
            if reply.status == 503:  # the store is late: it is asked for again under the same key
                return False
            made.append((key, reply))
            if reply.json["speed"] == "fast":
                return True
            self.post(f"/api/v1/withdrawals/{reply.json['id']}/cancel", token="treasury")
            return False

        wait_until(is_held, f"{amount} to be paid from the reserve of {mode}")
        return made[-1]

    def bring(self, mode: str, status: str) -> None:
        """Set the balance of a mode to that of a status word, and wait until the mode has this status."""
        self.world.set(mode, status)
        wait_until(lambda: self.get(f"/api/v1/modes/{mode}").json["status"] == status, f"{mode} to be {status}")
