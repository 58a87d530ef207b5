"""Rows that operators wrote to the store are damaged: everything else keeps working, above all alarms."""

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from support.daemon import ReservdProcess
from support.polling import wait_until
from support.world import World

DAMAGED = [
    "orders (id, subject, action, target, reason, asked_at, asked_by) VALUES ('o', 'withdrawal', '', '', '', '', '')",
    "silences (id, mode, begins_at, ends_at, reason, made_by) VALUES ('s', 'beta', 'soon', 9000000000000000, '', 'a')",
    "redeliveries (id, position, sink, asked_at, asked_by) VALUES ('r', 1, 'ops', 'soon', 'a')",
]


def test_alarms_go_on_and_the_daemon_starts_when_rows_of_operators_are_damaged(tmp_path: Path) -> None:
    """SQLite accepts any text in a numeric column."""
    file = tmp_path / "store.db"
    with World("alpha", "beta") as world:
        config = world.write_config(tmp_path, f"sqlite:///{file}")
        with ReservdProcess(config) as daemon:
            with closing(sqlite3.connect(file, timeout=30)) as connection, connection:
                for row in DAMAGED:
                    connection.execute(f"INSERT INTO {row}")
            wait_until(lambda: "orders.broke" in daemon.log(), "the log to report the damaged order")
            wait_until(lambda: "housekeeping.broke" in daemon.log(), "the log to report the damaged silence")
            world.set("alpha", "low")
            wait_until(lambda: world.kinds("alpha") == ["low"], "the alarm")
            assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
        with ReservdProcess(config) as daemon:
            world.set("alpha", "adequate")
            world.set("beta", "low")
            wait_until(lambda: world.kinds("alpha") == ["low", "adequate"], "the recovery")
            wait_until(lambda: world.kinds("beta") == ["low"], "the alarm of the mode that the damaged silence names")
            assert daemon.log().count("housekeeping.broke") == 1
            assert daemon.stop() == 0
