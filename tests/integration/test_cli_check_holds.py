"""`reservd check` beside a daemon that accepted withdrawals: both tell the same reserve."""

from pathlib import Path

from support.api import ApiDaemon
from support.commands import Command
from support.polling import wait_until


def test_check_takes_off_what_is_held_for_accepted_withdrawals(command: Command, tmp_path: Path) -> None:
    with ApiDaemon(tmp_path, f"sqlite:///{tmp_path}/store.db") as daemon:
        daemon.bring("alpha", "adequate")
        accepted = daemon.post("/api/v1/modes/alpha/withdrawals", {"amount": "30"}, token="treasury", key="k")
        assert accepted.status == 201
        wait_until(lambda: daemon.get("/api/v1/modes/alpha").json["held"] == "30", "the daemon to hold it")
        for stopped in (False, True):
            if stopped:
                daemon.stop()
            result = command("check", "alpha", "--json", "--explain")
            (found,) = result.json
            assert (found["held"], found["reserve_balance"], found["status"]) == ("30", "80", "low")
            assert result.code == 1
        assert command("check", "beta", "--json").json[0]["held"] == "0"
        (tmp_path / "store.db").write_text("no store")
        broken = command("check", "alpha", "--json")
        assert broken.out.count('"reserve_balance": "110"') == 1
        assert broken.err.startswith("nothing is taken off for accepted withdrawals: ")


def test_check_explains_that_holds_are_not_known_where_no_store_is_found(command: Command, tmp_path: Path) -> None:
    with ApiDaemon(tmp_path) as daemon:
        daemon.bring("alpha", "adequate")
        assert command("check", "alpha").err == ""
        explained = command("check", "alpha", "--explain")
    assert explained.code == 0
    assert explained.err.startswith("nothing is taken off for accepted withdrawals: ")
    assert "there is no store; give store.url" in explained.err
