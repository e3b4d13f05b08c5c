"""The agent's definitions: blobs by hash, kept while held work refers to them and a while longer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

#: Blobs that no held work refers to are dropped, least recently used first, above this many bytes in all.
STORE_BYTES = 256 << 20
#: What a small blob costs besides its bytes.
OVERHEAD_BYTES = 512


class DefinitionStore:
    """Blobs are never opened here. `put` says what it had to drop."""

    def __init__(self, max_bytes: int = STORE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._blobs: dict[bytes, bytes] = {}
        self._pins: dict[bytes, int] = {}
        self._unpinned: OrderedDict[bytes, None] = OrderedDict()  # of those in _blobs, oldest first

    def __contains__(self, hash: bytes) -> bool:
        return hash in self._blobs

    def get(self, hash: bytes) -> bytes | None:
        """The blob, if it is here."""
        return self._blobs.get(hash)

    def pin(self, hashes: Iterable[bytes]) -> None:
        """Keep these until `unpin`, those not here yet as soon as they come."""
        pins = self._pins
        for hash in hashes:
            pins[hash] = pins.get(hash, 0) + 1
            self._unpinned.pop(hash, None)

    def unpin(self, hashes: Iterable[bytes]) -> None:
        """The inverse of one `pin`."""
        pins = self._pins
        for hash in hashes:
            left = pins[hash] - 1
            if left:
                pins[hash] = left
                continue
            del pins[hash]
            if hash in self._blobs:
                self._unpinned[hash] = None

    def put(self, hash: bytes, blob: bytes) -> list[bytes]:
        """Add a blob; return the hashes of those dropped for it."""
        if hash not in self._blobs:
            self._blobs[hash] = blob
            self._bytes += len(blob) + OVERHEAD_BYTES
            if hash not in self._pins:
                self._unpinned[hash] = None
        dropped = []
        while self._bytes > self._max_bytes and self._unpinned:
            oldest, _ = self._unpinned.popitem(last=False)
            self._bytes -= len(self._blobs.pop(oldest)) + OVERHEAD_BYTES
            dropped.append(oldest)
        return dropped

    def check_invariants(self) -> None:
        """Assert that counts and indices agree."""
        assert self._bytes == sum(len(blob) + OVERHEAD_BYTES for blob in self._blobs.values())
        assert set(self._unpinned) == {h for h in self._blobs if h not in self._pins}
        assert all(count > 0 for count in self._pins.values())
