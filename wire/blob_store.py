"""The client's blobs: kept while somebody pins them, and the most recently used of the others."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import NamedTuple

from manyhands.wire.definitions import UnknownDefinition

#: Above this many bytes, blobs that nobody has pinned are dropped.
MAX_BYTES = 64 << 20
#: What a small blob costs besides its bytes: its survey, its places in indices.
_OVERHEAD_BYTES = 2048
_HASH_BYTES = 16


class Blob(NamedTuple):
    """A definition's pickle."""

    data: bytes
    needed: frozenset[bytes]  # hashes of itself and of all it refers to, directly or not
    classes: frozenset[str]  # tracker ids of the classes inside
    objects: dict[int, None]  # ids of the objects remembered as defined by it, oldest first

    @property
    def cost(self) -> int:
        """Bytes counted against the limit."""
        return len(self.data) + _OVERHEAD_BYTES


class BlobStore:
    """Not thread-safe but for `find` and `touch`."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._idle: OrderedDict[bytes, Blob] = OrderedDict()  # not pinned, least recently used first
        self._idle_bytes = 0
        self._pinned: dict[bytes, Blob] = {}
        self._pins: dict[bytes, int] = {}

    def find(self, hash: bytes) -> Blob:
        """Raises UnknownDefinition if it was dropped."""
        blob = self._pinned.get(hash) or self._idle.get(hash)
        if blob is None:
            raise UnknownDefinition(hash)
        return blob

    def put(self, data: bytes, needed: frozenset[bytes], classes: frozenset[str] = frozenset()) -> bytes:
        """Keep it, at least until the next `evict`. Returns its hash."""
        hash = blake2b(data, digest_size=_HASH_BYTES).digest()
        if hash in self._idle:
            self._idle.move_to_end(hash)
        elif hash not in self._pinned:
            blob = self._idle[hash] = Blob(data, needed | {hash}, classes, {})
            self._idle_bytes += blob.cost
        return hash

    def touch(self, hash: bytes) -> bool:
        """Make it, and what it needs, the last to be dropped. False: some of that was dropped already."""
        if hash in self._pinned:
            return True
        try:
            for each in self._idle[hash].needed:
                if each not in self._pinned:
                    self._idle.move_to_end(each)
        except KeyError:
            return False
        return True

    def pin(self, hash: bytes) -> None:
        """Keep it, and what it needs, until `unpin` was called as often."""
        for each in self.find(hash).needed:
            self._pins[each] = self._pins.get(each, 0) + 1
            if each not in self._pinned:
                blob = self._pinned[each] = self._idle.pop(each)
                self._idle_bytes -= blob.cost

    def unpin(self, hash: bytes) -> None:
        """The inverse of one `pin`."""
        for each in self.find(hash).needed:
            left = self._pins[each] - 1
            if left:
                self._pins[each] = left
                continue
            del self._pins[each]
            blob = self._idle[each] = self._pinned.pop(each)
            self._idle_bytes += blob.cost

    def evict(self, keep: frozenset[bytes] = frozenset()) -> list[Blob]:
        """Drop and return the blobs that are too many, but none of those to keep."""
        dropped: list[Blob] = []
        if self._idle_bytes > self._max_bytes:
            for hash in [each for each in self._idle if each not in keep]:
                blob = self._idle.pop(hash)
                self._idle_bytes -= blob.cost
                dropped.append(blob)
                if self._idle_bytes <= self._max_bytes:
                    break
        return dropped

    def check_invariants(self) -> None:
        """Assert that counts and indices agree."""
        assert self._idle_bytes == sum(blob.cost for blob in self._idle.values())
        assert self._idle.keys().isdisjoint(self._pinned)
        assert self._pins.keys() == self._pinned.keys()
        assert all(count > 0 for count in self._pins.values())
