"""Silence: when has the other side been quiet for too long? Pure; time is an argument."""

from __future__ import annotations


class Liveness:
    """Watches one connection. Ask `check` every `interval` seconds or sooner; tell `heard` of any frame.

    If we ourselves did not run for a while (stopped, swapped, a suspended laptop), `check` comes late; the
    other side may have spoken meanwhile, so its deadline moves by that gap instead of being held against it.
    """

    def __init__(self, interval: float, timeout: float, now: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self._heard = now
        self._checked = now

    def heard(self, now: float) -> None:
        """A frame arrived."""
        self._heard = now

    def silent(self, now: float) -> float:
        """Seconds since the last frame."""
        return now - self._heard

    def left(self, now: float) -> float:
        """Seconds until it is to be given up, should it stay silent."""
        return self._timeout - self.silent(now)

    def check(self, now: float) -> bool:
        """Whether the other side must be given up."""
        gap = now - self._checked - self._interval
        self._checked = now
        if gap > self._interval:
            # Not past now: what arrived meanwhile may have been read already, and that is all we know.
            self._heard = min(self._heard + gap, now)
        return now - self._heard > self._timeout
