"""Which tickets the master has announced: each is good for one datum, once, and not for long; pure."""

from __future__ import annotations

#: Seconds after which a ticket that nobody has shown is void.
TICKET_TIMEOUT = 60.0
#: Tickets that are remembered; beyond them the oldest is void.
TICKETS_MAX = 10_000


class Tickets:
    """Those that have not been shown."""

    def __init__(self) -> None:
        self._admitted: dict[bytes, tuple[bytes, float]] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._admitted)

    def admit(self, ticket: bytes, id: bytes, now: float) -> None:
        """Whoever shows `ticket` may have the datum."""
        self._admitted[ticket] = id, now + TICKET_TIMEOUT
        oldest = next(iter(self._admitted))
        if len(self._admitted) > TICKETS_MAX or self._admitted[oldest][1] <= now:
            del self._admitted[oldest]

    def redeem(self, ticket: bytes, now: float) -> bytes | None:
        """The datum that it is good for, if it is; it is void afterwards."""
        id, until = self._admitted.pop(ticket, (None, 0.0))
        return id if now < until else None
