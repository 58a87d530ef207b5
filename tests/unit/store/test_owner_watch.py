"""What a standby concludes from the owner's heartbeats, on a clock that the test moves."""

from reservd.store.owner_watch import OwnerWatch

ALIVE, NEXT = (1, 7), (1, 8)


def test_take_over_is_due_after_twelve_seconds_without_a_beat() -> None:
    watch = OwnerWatch(0)
    watch.saw(ALIVE, 1)
    watch.saw(ALIVE, 12)
    assert not watch.is_due(12.9)
    assert watch.is_due(13)


def test_each_beat_puts_the_take_over_off() -> None:
    watch = OwnerWatch(0)
    assert not watch.saw(ALIVE, 1), "the first heartbeat that is seen may be years old"
    assert watch.saw(NEXT, 11)
    assert not watch.is_due(22)
    assert watch.is_due(23)


def test_another_daemon_counts_as_owner_only_while_its_heart_beats() -> None:
    watch = OwnerWatch(0)
    watch.saw(ALIVE, 1)
    assert not watch.is_alive(1)
    watch.saw(NEXT, 3)
    assert watch.is_alive(14)
    watch.could_not_look(15, ended=False)
    assert not watch.is_alive(15)


def test_owner_gets_the_whole_time_again_when_the_store_could_not_be_read() -> None:
    """During an outage of twenty seconds the owner could not write a heartbeat either."""
    watch = OwnerWatch(0)
    watch.saw(ALIVE, 1)
    for second in range(2, 22):
        watch.could_not_look(second, ended=False)
    assert not watch.is_due(22)
    watch.saw(ALIVE, 22)
    assert not watch.is_due(32)
    assert watch.is_due(33), "12 s after the last failure"


def test_owner_gets_the_whole_time_again_when_the_store_could_not_be_taken() -> None:
    watch = OwnerWatch(0)
    watch.saw(ALIVE, 1)
    watch.could_not_take(13)
    assert not watch.is_due(24)
    assert watch.is_due(25)


def test_store_that_is_never_reached_is_waited_for_in_vain() -> None:
    watch = OwnerWatch(0)
    for second in range(1, 15):
        watch.could_not_look(second, ended=False)
    assert not watch.is_vain(15, 15)
    assert watch.is_vain(15.1, 15)


def test_store_that_can_be_read_and_not_taken_is_waited_for_in_vain() -> None:
    watch = OwnerWatch(0)
    for second in range(1, 15):
        watch.saw(ALIVE, second)
        assert not watch.is_vain(second, 15)
    watch.could_not_take(15)
    watch.saw(ALIVE, 16)
    assert watch.is_vain(16, 15), "a store that can only be read is of no use"
    watch.saw(NEXT, 17)
    assert not watch.is_vain(60, 15), "another daemon can write"


def test_wait_is_not_in_vain_while_the_take_over_comes_nearer() -> None:
    """The store came up a few seconds after the daemon: alarms from memory would repeat what was already sent."""
    watch = OwnerWatch(0)
    for second in range(1, 6):
        watch.could_not_look(second, ended=False)
    for second in range(6, 18):
        watch.saw(ALIVE, second)
        assert not watch.is_vain(second, 15)
    assert watch.is_due(18)


def test_owner_that_was_seen_alive_is_supposed_to_go_on_when_the_store_is_gone() -> None:
    """The owner raises alarms from memory: a second daemon would repeat all of them."""
    watch = OwnerWatch(0)
    watch.saw(ALIVE, 1)
    watch.saw(NEXT, 2)
    for second in range(3, 600):
        watch.could_not_look(second, ended=False)
    assert not watch.is_vain(600, 15)


def test_owner_that_is_known_to_have_ended_is_not_supposed_to_go_on() -> None:
    watch = OwnerWatch(0)
    watch.saw(ALIVE, 1)
    watch.saw(NEXT, 2)
    for second in range(3, 18):
        watch.could_not_look(second, ended=True)
    assert watch.is_vain(18, 15)


def test_store_that_comes_and_goes_is_waited_for_in_vain_at_last() -> None:
    """Its owner died, and there are never 12 s without a failure."""
    watch = OwnerWatch(0)
    watch.saw(ALIVE, 1)
    watch.saw(NEXT, 2)
    for second in range(3, 40):
        if second % 5:
            watch.saw(NEXT, second)
        else:
            watch.could_not_look(second, ended=False)
        assert not watch.is_due(second)
    watch.could_not_look(40, ended=False)
    assert watch.is_vain(40, 15)
