"""A daemon that has come to rest gives the memory of what it has freed back to the system."""

from __future__ import annotations

import asyncio
import ctypes
import time

#: Seconds between looks.
INTERVAL = 1.0
#: Who used a smaller part of a core since the last look is at rest. It must be: what is given back under load is soon
#: needed again, and comes back in pieces that fit less well.
RESTING = 0.02
#: Processor seconds after which there may be something to give back.
WORTHWHILE = 0.05


def give_back() -> None:
    """Give back what is free, where the allocator can be asked to: glibc's.

    By itself it gives back only what is free at its heap's end, and after large blocks less and less of that: see
    mallopt(3), M_TRIM_THRESHOLD.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Rest:
    """When to give back: once the process has worked, and works no more. Pure; `used`: its processor time, seconds."""

    def __init__(self, used: float) -> None:
        self._before = self._given_back = used

    def is_due(self, used: float) -> bool:
        """Look, INTERVAL after the last time."""
        lately, self._before = used - self._before, used
        if lately >= RESTING * INTERVAL or used - self._given_back < WORTHWHILE:
            return False
        self._given_back = used
        return True


async def give_back_at_rest() -> None:
    """For as long as the daemon lives."""
    rest = Rest(time.process_time())
    while True:
        await asyncio.sleep(INTERVAL)
        if rest.is_due(time.process_time()):
            give_back()
