"""Work in many small steps yields to other tasks."""

import asyncio

from reservd.monitor.cycles.pace import Pace


async def test_others_have_their_turn_when_many_small_steps_are_taken() -> None:
    """Otherwise the loop below would never end."""
    others = asyncio.create_task(asyncio.sleep(0))
    pace = Pace()
    while not others.done():
        await pace.keep()
