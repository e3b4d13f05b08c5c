"""The definitions that open blocks need, and recent ones: opaque blobs by hash."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from weakref import WeakValueDictionary

from manyhands.master.data import Datum
from manyhands.wire.blocks import HASH_BYTES, Block

#: What a small definition costs besides its bytes.
OVERHEAD_BYTES = 512


class Definition:
    """A function's or class's blob. Whoever needs it holds it; it goes with the last holder."""

    __slots__ = ("__weakref__", "blob", "hash", "on_gone")

    def __init__(self, hash: bytes, blob: bytes) -> None:
        self.hash = hash
        self.blob = blob
        #: Told when it goes.
        self.on_gone: Callable[[], None] | None = None

    def __del__(self) -> None:
        if self.on_gone is not None:
            self.on_gone()


@dataclass(slots=True, frozen=True)
class HeldBlock(Block):
    """A block that keeps the definitions and data it needs alive for as long as it has open tasks."""

    held: tuple[Definition, ...] = ()
    data: tuple[Datum, ...] = ()

    @classmethod
    def of(cls, block: Block, held: tuple[Definition, ...], data: tuple[Datum, ...] = ()) -> HeldBlock:
        """`block`, holding what it needs."""
        return cls(
            block.first, block.base, block.ends, block.payload, block.function, block.call, block.definitions,
            block.needs, held, data,
        )  # fmt: skip


class DefinitionStore:
    """All definitions that somebody holds, and the most recently used others up to `limit_bytes`.

    Those others go with the last of the clients that sent them: a class by value has another definition in each
    process, and nobody would ask for it again.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._all: WeakValueDictionary[bytes, Definition] = WeakValueDictionary()
        self._recent: OrderedDict[bytes, Definition] = OrderedDict()
        self._recent_bytes = 0
        #: Of recent ones: the clients that have sent them.
        self._senders: dict[bytes, set[int]] = {}

    def add(self, hash: bytes, blob: bytes, sender: int | None = None) -> Definition:
        """Take in a blob; `sender`: the client's number. Raises ValueError if the hash is not its own."""
        if blake2b(blob, digest_size=HASH_BYTES).digest() != hash:
            raise ValueError(f"the definition sent as {hash.hex()} is not what that hash names")
        definition = self._all.get(hash)
        if definition is None:
            definition = self._all[hash] = Definition(hash, blob)
        self._use(definition)
        if sender is not None:
            self._senders.setdefault(hash, set()).add(sender)
        return definition

    def left(self, sender: int) -> None:
        """A client is gone."""
        for hash, senders in list(self._senders.items()):
            senders.discard(sender)
            if not senders:
                self._drop(hash)

    def get(self, hash: bytes) -> Definition | None:
        """The definition, if it is here."""
        definition = self._all.get(hash)
        if definition is not None:
            self._use(definition)
        return definition

    def is_held(self, hash: bytes) -> bool:
        """Whether it is here, for whatever reason."""
        return hash in self._all

    def _use(self, definition: Definition) -> None:
        recent = self._recent
        if definition.hash in recent:
            recent.move_to_end(definition.hash)
            return
        recent[definition.hash] = definition
        self._recent_bytes += len(definition.blob) + OVERHEAD_BYTES
        while self._recent_bytes > self._limit_bytes and len(recent) > 1:
            self._drop(next(iter(recent)))

    def _drop(self, hash: bytes) -> None:
        self._recent_bytes -= len(self._recent.pop(hash).blob) + OVERHEAD_BYTES
        self._senders.pop(hash, None)
