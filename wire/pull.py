"""Getting a datum, or a range of one, piece by piece from whoever has it: what to ask for, what was answered; pure."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.needs import Need
from manyhands.wire.session import ProtocolError

#: What is asked for at a time. Whoever serves it holds as much of it in memory.
FETCH_BYTES = 1 << 20
#: Asked for and not answered: enough for a 10 Gbit/s LAN with 3 ms of round trip.
FETCHES_MAX = 4


class NotThere(Exception):
    """The source does not have the datum (any more)."""


class Readable(Protocol):
    """Where data lie: a HostStore."""

    def read(self, id: bytes, offset: int, length: int) -> bytes:
        """A copy of a range. Raises LookupError if the datum is not there, ValueError beyond its end."""
        ...


class Pull:
    """What has come of one need, and what is still to be asked for, of one source after the other.

    Send what `fetches` returns; again after each part, and after a `restart`.
    """

    def __init__(self, need: Need, size: int) -> None:
        """size: of the whole datum. Raises ProtocolError if the need does not lie in it."""
        self._id = need.id
        self.begin, self.end = need.range_in(size)
        if self.end > size:
            raise ProtocolError(f"bytes {self.begin} to {self.end} of a datum of {size}")
        self._next = self.begin  # nothing from here on has been asked for
        self._again: deque[int] = deque()  # offsets that a former source has not answered
        self._asked: set[int] = set()

    @property
    def is_done(self) -> bool:
        """Whether all of it has come."""
        return self._next >= self.end and not self._again and not self._asked

    def fetches(self) -> list[pb.Fetch]:
        """What to ask for now."""
        found = []
        while len(self._asked) < FETCHES_MAX:
            if self._again:
                offset = self._again.popleft()
            elif self._next < self.end:
                offset = self._next
                self._next += FETCH_BYTES
            else:
                break
            self._asked.add(offset)
            found.append(pb.Fetch(id=self._id, offset=offset, length=self._length_at(offset)))
        return found

    def on_part(self, part: pb.Part) -> bool:
        """Whether this is new, and so to be kept. What nobody waits for is none: a former pull may have asked for it.

        Raises NotThere; ProtocolError if it can be no answer to anything that was asked.
        """
        if part.id != self._id:
            raise ProtocolError(f"a part of datum {part.id.hex()}, where {self._id.hex()} was asked for")
        if part.missing:
            raise NotThere("it does not have the datum (any more)")
        at = part.offset - self.begin
        if at % FETCH_BYTES or not self.begin <= part.offset < self.end:
            raise ProtocolError(f"a part that begins at {part.offset} of datum {part.id.hex()} was not asked for")
        if len(part.data) != self._length_at(part.offset):
            raise ProtocolError(
                f"a part of {len(part.data)} bytes, where {self._length_at(part.offset)} at {part.offset} "
                f"of datum {part.id.hex()} were asked for"
            )
        if part.offset not in self._asked:
            return False
        self._asked.remove(part.offset)
        return True

    def restart(self) -> None:
        """The source has failed: what it has not answered is to be asked of the next one."""
        self._again = deque(sorted({*self._again, *self._asked}))
        self._asked.clear()

    def _length_at(self, offset: int) -> int:
        return min(FETCH_BYTES, self.end - offset)


def check_fetch(fetch: pb.Fetch) -> None:
    """Raises ProtocolError for one that nobody sends."""
    if len(fetch.id) != 16 or not 0 < fetch.length <= FETCH_BYTES:
        raise ProtocolError(f"a fetch of {fetch.length} bytes; from 1 to {FETCH_BYTES} of a datum may be asked for")


def serve(fetch: pb.Fetch, store: Readable) -> pb.Part:
    """The answer. Reads, and so may wait for a disk. Raises ProtocolError."""
    check_fetch(fetch)
    try:
        data = store.read(fetch.id, fetch.offset, fetch.length)
    except LookupError:
        return pb.Part(id=fetch.id, offset=fetch.offset, missing=True)
    except ValueError as error:
        raise ProtocolError(str(error)) from error
    return pb.Part(id=fetch.id, offset=fetch.offset, data=data)
