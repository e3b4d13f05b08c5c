"""What one side has sent the other, so that each definition goes but once."""

from __future__ import annotations

#: Definitions that are remembered as sent. When there are more, all are forgotten: some are then sent again.
MAX_TOLD = 10_000


class Told:
    """The definitions, by hash, that a session has carried one way."""

    def __init__(self, capacity: int = MAX_TOLD) -> None:
        self._capacity = capacity
        self._hashes: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._hashes)

    def __contains__(self, hash: bytes) -> bool:
        return hash in self._hashes

    def add(self, hash: bytes) -> bool:
        """Whether it has to be sent: it is on its way from now on."""
        if hash in self._hashes:
            return False
        if len(self._hashes) >= self._capacity:
            self._hashes.clear()
        self._hashes.add(hash)
        return True

    def clear(self) -> None:
        """The other side is new, and has been sent nothing."""
        self._hashes.clear()
