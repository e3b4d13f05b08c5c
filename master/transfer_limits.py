"""How many transfers run at a time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """Durations in seconds, sizes in bytes."""

    #: From one source: a large one takes all that a network carries.
    large: int = 1
    small: int = 8
    #: What is no longer than this is small.
    small_bytes: int = 1 << 20
    #: To one host, of either kind.
    pulls: int = 8
    #: A large one that lasts longer than at this rate, and a second besides, does not count: it leaves the network to
    #: others, and they would wait for a slow host. Up to so many from one source.
    slow_bytes_per_second: float = 10e6
    slow: int = 8
    #: Who could not reach a source is not sent there again for so long.
    avoid_timeout: float = 15.0

    def running_max(self, is_large: bool) -> int:
        """Of one kind, from one source."""
        return self.large if is_large else self.small
