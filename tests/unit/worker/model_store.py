"""The store of a host, the master who knows where data are, and what the core has done to both; no time passes here."""

from __future__ import annotations

from collections.abc import Iterable

from tests.unit.worker.model_slot import TaskKey

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.needs import Need
from manyhands.worker.commands import DropData, DropUnreported


class ModelStore:
    """`here`: what tasks may need; `results`: what slots have written, by id."""

    def __init__(self) -> None:
        self.here: set[Need] = set()
        self.results: dict[bytes, TaskKey] = {}
        self.reported: dict[bytes, TaskKey] = {}
        #: Asked for in this session and not answered; on their way here.
        self.located: list[Need] = []
        self.coming: list[Need] = []
        #: To be removed, in order.
        self.dropping: list[tuple[bytes, ...]] = []
        self.is_joined = False
        self._processes = 0
        self._prefixes: dict[int, bytes] = {}
        self._written: dict[bytes, int] = {}

    def has(self, need: Need) -> bool:
        return need in self.here or Need(need.id) in self.here

    @property
    def is_busy(self) -> bool:
        """Whether the core waits for anything here."""
        return bool(self.located or self.coming or self.dropping)

    # ------------------------------------------------------------ slots

    def spawned(self, slot: int) -> bytes:
        """What ids that the slot's new process chooses begin with."""
        self._processes += 1
        prefix = self._prefixes[slot] = self._processes.to_bytes(8, "big")
        self._written[prefix] = 0
        return prefix

    def write(self, prefix: bytes, task: TaskKey) -> bytes:
        id = prefix + self._written[prefix].to_bytes(8, "big")
        self._written[prefix] += 1
        self.results[id] = task
        return id

    # ------------------------------------------------------------ what the core does

    def locate(self, message: pb.Locate) -> None:
        assert self.is_joined, "asked before the master knows which store this is"
        for need in map(Need.of, message.needs):
            if need not in self.located and need not in self.coming:  # or nobody needed it for a while
                self.located.append(need)

    def transfer(self, source: pb.Source) -> None:
        self.coming.append(Need.of(source.need))

    def drop(self, command: DropData | DropUnreported) -> None:
        """Data are dropped by and by; what a dead process left at once, as nobody else can know of it."""
        if isinstance(command, DropData):
            self.dropping.append(command.ids)
            self.coming = [need for need in self.coming if need.id not in command.ids]
            self.located = [need for need in self.located if need.id not in command.ids]
            return
        prefix = self._prefixes[command.slot]
        first = int.from_bytes(command.last[8:], "big") + 1 if command.last.startswith(prefix) else 0
        for number in range(first, self._written[prefix]):
            del self.results[prefix + number.to_bytes(8, "big")]

    def remove(self, ids: Iterable[bytes]) -> None:
        for id in ids:
            assert id not in self.reported, "the master was told of it"
            self.results.pop(id, None)
            self.here = {need for need in self.here if need.id != id}

    def report(self, message: pb.Results) -> None:
        for each in message.stored:
            assert self.results[each.id] == (message.lease, each.index)
            self.reported[each.id] = message.lease, each.index

    # ------------------------------------------------------------ sessions

    def join(self) -> None:
        self.is_joined = True

    def leave(self) -> None:
        self.is_joined = False
        self.located.clear()
        self.coming.clear()
