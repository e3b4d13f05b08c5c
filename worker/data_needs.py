"""What the held pieces need of the cluster's data, and which of that is not in the store of this host; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.needs import Need
from manyhands.worker.commands import Command, DropData, Send

#: Whether the store of this host has it.
Has = Callable[[Need], bool]


class DataNeeds:
    """What is missing is asked of the master once, as soon as it has been told which store this is."""

    def __init__(self, has: Has) -> None:
        self._has = has
        self._pins: dict[bytes, dict[Need, int]] = {}  # by id: how many pieces need it
        self._missing: dict[bytes, dict[Need, None]] = {}  # by id
        self._unasked: dict[Need, None] = {}  # of those missing
        self._is_joined = False
        self._dropping: set[bytes] = set()

    def pin(self, needs: Iterable[Need]) -> None:
        """A piece that needs these is held."""
        for need in needs:
            pins = self._pins.setdefault(need.id, {})
            pins[need] = pins.get(need, 0) + 1
            if pins[need] == 1 and (need.id in self._dropping or not self._has(need)):
                self._missing.setdefault(need.id, {})[need] = None
                self._unasked[need] = None

    def unpin(self, needs: Iterable[Need]) -> None:
        """The inverse of one `pin`."""
        for need in needs:
            pins = self._pins[need.id]
            pins[need] -= 1
            if pins[need]:
                continue
            del pins[need]
            if not pins:
                del self._pins[need.id]
            if self.is_missing(need):
                self._found(need)

    def is_missing(self, need: Need) -> bool:
        """Whether it is not in the store, of what is needed."""
        return need in self._missing.get(need.id, ())

    def _found(self, need: Need) -> None:
        of_datum = self._missing[need.id]
        del of_datum[need]
        if not of_datum:
            del self._missing[need.id]
        self._unasked.pop(need, None)

    def arrived(self, need: Need) -> list[Need]:
        """It is in the store now; returns what was missing of it."""
        found = [each for each in self._missing.get(need.id, ()) if each == need or need.is_whole]
        for each in found:
            self._found(each)
        return found

    def forget(self, ids: Iterable[bytes], out: list[Command]) -> None:
        """The master says that nobody needs these. But others it may have dispatched work for meanwhile, and knows not
        that they are here.
        """
        ids = tuple(ids)
        free = tuple(id for id in ids if id not in self._pins and id not in self._dropping)
        if free:
            self._dropping.update(free)  # until they are `dropped`
            out.append(DropData(free))
        here = [need for id in ids for need in self._pins.get(id, ()) if not self.is_missing(need)]
        if here:
            out.append(Send(pb.Body(data_here=pb.DataHere(needs=[need.message() for need in here]))))

    def dropped(self, ids: Iterable[bytes], out: list[Command]) -> None:
        """These have been removed."""
        self._dropping.difference_update(ids)
        self.ask(out)

    def left(self) -> None:
        """The session is lost: whoever was asked has forgotten it, and which store this is."""
        self._is_joined = False
        self._unasked = {need: None for of_datum in self._missing.values() for need in of_datum}

    def joined(self) -> None:
        """The master has been told which store this is."""
        self._is_joined = True

    def ask(self, out: list[Command]) -> None:
        """Ask for what is missing."""
        if not self._is_joined or not self._unasked:
            return
        # What is being dropped would be dropped as soon as it came.
        asked = [need for need in self._unasked if need.id not in self._dropping]
        for need in asked:
            del self._unasked[need]
        if asked:
            out.append(Send(pb.Body(locate=pb.Locate(needs=[need.message() for need in asked]))))

    def check_invariants(self) -> None:
        """Assert that counts and indices agree."""
        missing = [need for of_datum in self._missing.values() for need in of_datum]
        assert all(self._missing.values())
        assert all(self._pins.values())
        assert all(count > 0 for pins in self._pins.values() for count in pins.values())
        assert set(missing) <= {need for pins in self._pins.values() for need in pins}
        assert set(self._unasked) <= set(missing)
        is_asked = not self._is_joined or all(need.id in self._dropping for need in self._unasked)
        assert is_asked, "something is missing that nobody was asked for"
