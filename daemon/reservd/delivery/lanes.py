"""Letters that wait for one sink, and whose turn it is.

A mode has two lanes: messages about its refills that a receiver does not understand must not hold up its alarms. Nor
may those of many modes that a receiver does not answer, so only some lanes of refills are served at the same time.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Container, Mapping
from itertools import islice

from reservd.delivery.outbox import Outbox
from reservd.reserve.models import ReserveEvent
from reservd.reserve.replenishment.event import ReplenishmentEvent
from reservd.store.letters import Letter, Stream

TURN = 20
"""Letters of one lane in a row while others wait."""
_WINDOW = 2_000
"""Letters that a sink keeps in memory, besides one of each lane; the rest stays in the store."""
_PAGE = 100
_UNWRITTEN_SECONDS = 1.0
"""How long to wait before checking again whether everything in a lane is stored."""


class Lane:
    """The letters of one stream, in order."""

    __slots__ = ("behind", "cursor", "failures", "letters", "more", "queued", "reloads", "stream", "timer", "unwritten")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.letters: deque[Letter] = deque()
        self.cursor = 0
        """The position of the last letter that was loaded into memory."""
        self.behind = False
        """Whether the store has more letters after those, which come before new ones."""
        self.more = False
        """Whether a letter was decided since the last look into the store."""
        self.unwritten: deque[Letter] = deque()
        """Letters that come after those in the store, and that the store has not accepted yet."""
        self.failures = 0
        """Consecutive failures of the first letter."""
        self.reloads = 0
        """How often it was reloaded: the result of a query from before a reload is out of date."""
        self.queued = False
        """Whether it is being served, or will be without waiting for a timer."""
        self.timer: asyncio.TimerHandle | None = None

    @property
    def says_more(self) -> bool:
        """Whether a later letter tells how the mode stands, so that a reminder at the head is out of date."""
        return any(isinstance(letter.event, ReserveEvent) for letter in islice(self.letters, 1, None))


class Lanes:
    """Holds letters by stream, as many as memory should hold, and returns the lanes that are due.

    Args:
        sink: The name of the sink.
        outbox: Loads the letters that memory does not hold.
        refills_at_once: How many lanes of refills are served at the same time, at most.

    Attributes:
        held: How many letters are in memory.
    """

    def __init__(self, sink: str, outbox: Outbox, refills_at_once: int) -> None:
        self._sink = sink
        self._outbox = outbox
        self._lanes: dict[Stream, Lane] = {}
        self._ready: asyncio.Queue[Lane] = asyncio.Queue()
        self._refills: deque[Lane] = deque()
        """Lanes of refills that are due, but for which there is no room among those that are served."""
        self._room_for_refills = refills_at_once
        self._stopped = False
        self.held = 0

    def take(self, letter: Letter) -> None:
        """Queue a letter for an event that was decided now."""
        lane = self._lane(Stream(letter.event.strategy_mode, isinstance(letter.event, ReplenishmentEvent)))
        if letter.position <= lane.cursor:
            return  # it was read from the store already
        if lane.behind:
            lane.more = True
            if self._outbox.is_written(letter.position):
                lane.unwritten.clear()  # so are those before it
            else:
                lane.unwritten.append(letter)
        elif self.held >= _WINDOW and self._outbox.is_written(letter.position):
            lane.behind = lane.more = True
            if not lane.letters:
                lane.cursor = letter.position - 1
        else:
            self._append(lane, [letter])
        self._queue(lane)

    def reload(self, mode: str, position: int) -> None:
        """Read a mode's pending letters from a position on from the store again: some were made pending once more."""
        for of_refills in (False, True):
            self._reload(Stream(mode, of_refills), position)

    def _reload(self, stream: Stream, position: int) -> None:
        # Looked up at each try: a lane that is emptied meanwhile is dropped, and another one may be in its place.
        lane = self._lane(stream)
        # Those before the position stay: they are not read again.
        kept = deque(letter for letter in lane.letters if letter.position < position)
        if any(not self._outbox.is_written(letter.position) for letter in islice(lane.letters, len(kept), None)):
            # Letters that only memory holds must not be dropped.
            asyncio.get_running_loop().call_later(_UNWRITTEN_SECONDS, self._reload, stream, position)
            return
        self.held -= len(lane.letters) - len(kept)
        lane.letters = kept
        lane.cursor = min(lane.cursor, position - 1)
        if not kept:
            lane.failures = 0
        lane.reloads += 1
        lane.behind = lane.more = True
        self._wake(lane)

    def forget(self, positions: Mapping[str, Container[int]]) -> None:
        """Drop letters that memory should not hold, by mode; never the letter whose turn it is."""
        for mode, gone in positions.items():
            for of_refills in (False, True):
                lane = self._lanes.get(Stream(mode, of_refills))
                if lane is not None and lane.letters:
                    first, *others = lane.letters
                    kept = [first, *(letter for letter in others if letter.position not in gone)]
                    self.held -= len(lane.letters) - len(kept)
                    lane.letters = deque(kept)
                if lane is not None and lane.unwritten:
                    lane.unwritten = deque(letter for letter in lane.unwritten if letter.position not in gone)

    async def first(self, lane: Lane) -> Letter | None:
        """Return the first letter of a lane; None when there is none.

        Raises:
            StoreError: If the store may hold letters of the lane, but cannot be read.
        """
        if not lane.letters and lane.behind:
            await self._load(lane)
        return lane.letters[0] if lane.letters else None

    def ended(self, lane: Lane, letter: Letter) -> None:
        """Remove the first letter of a lane: it is delivered, or never will be."""
        lane.failures = 0
        # It is no longer the first if the lane was reloaded in the meantime.
        if lane.letters and lane.letters[0] is letter:
            lane.letters.popleft()
            self.held -= 1

    async def _load(self, lane: Lane) -> None:
        lane.more = False
        reloads = lane.reloads
        limit = _PAGE if self.held < _WINDOW else TURN
        letters = await self._outbox.load(self._sink, lane.stream, lane.cursor, limit)
        if lane.reloads != reloads:
            return  # the lane was reloaded from an earlier position in the meantime
        # Letters that were queued in the meantime may not be among them.
        lane.behind = lane.more or len(letters) == limit
        self._append(lane, letters)
        while lane.unwritten and lane.unwritten[0].position <= lane.cursor:
            lane.unwritten.popleft()  # it was written in the meantime
        if not lane.behind:
            self._append(lane, lane.unwritten)
            lane.unwritten.clear()

    def _append(self, lane: Lane, letters: Collection[Letter]) -> None:
        lane.letters.extend(letters)
        self.held += len(letters)
        if letters:
            lane.cursor = lane.letters[-1].position

    def _leave_in_store(self, lane: Lane) -> None:
        """Drop all letters of a lane except the first. They are read from the store again when it is their turn."""
        if len(lane.letters) > 1 and self._outbox.is_written(lane.letters[-1].position):
            first = lane.letters[0]
            self.held -= len(lane.letters) - 1
            lane.letters = deque([first])
            lane.cursor = first.position
            lane.behind = True

    @property
    def busy(self) -> bool:
        """Whether any lane is being served or is due."""
        return any(lane.queued for lane in self._lanes.values())

    @property
    def others_wait(self) -> bool:
        """Whether a lane is due that nobody serves yet."""
        return not self._ready.empty()

    async def next(self) -> Lane:
        """Wait for a lane that is due. The caller calls `served` when it is done with the lane."""
        return await self._ready.get()

    def served(self, lane: Lane, delay_seconds: float | None) -> None:
        """Queue a lane's next turn: after the delay, or behind all other lanes; not at all if nothing waits in it."""
        lane.queued = False
        if lane.stream.of_refills:
            self._room_for_refills += 1
        if self.held > _WINDOW:
            self._leave_in_store(lane)
        if lane.unwritten and self._outbox.is_written(lane.unwritten[-1].position):
            lane.unwritten.clear()
        if delay_seconds is not None:
            if not self._stopped:
                lane.timer = asyncio.get_running_loop().call_later(delay_seconds, self._wake, lane)
        elif lane.letters or lane.behind:
            self._queue(lane)
        else:
            self._lanes.pop(lane.stream, None)
        self._admit_refills()

    def wake_all(self) -> None:
        """Make all lanes due that wait for a retry."""
        for lane in self._lanes.values():
            if lane.timer is not None:
                self._wake(lane)

    def stop(self) -> None:
        """Stop scheduling turns after a delay."""
        self._stopped = True
        for lane in self._lanes.values():
            if lane.timer is not None:
                lane.timer.cancel()

    def _lane(self, stream: Stream) -> Lane:
        lane = self._lanes.get(stream)
        if lane is None:
            lane = self._lanes[stream] = Lane(stream)
        return lane

    def _queue(self, lane: Lane) -> None:
        if not lane.queued and lane.timer is None:
            lane.queued = True
            if lane.stream.of_refills:
                self._refills.append(lane)
                self._admit_refills()
            else:
                self._ready.put_nowait(lane)

    def _admit_refills(self) -> None:
        while self._refills and self._room_for_refills > 0:
            self._room_for_refills -= 1
            self._ready.put_nowait(self._refills.popleft())

    def _wake(self, lane: Lane) -> None:
        if lane.timer is not None:
            lane.timer.cancel()
            lane.timer = None
        self._queue(lane)
