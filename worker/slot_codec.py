"""How a slot turns results and exceptions into bytes; arguments and functions it decodes by `definitions`."""

from __future__ import annotations

import pickle
from typing import Any

from manyhands.wire.definitions import LoadedDefinitions
from manyhands.wire.errors import EncodeError, ResultEncodeError
from manyhands.wire.exception_codec import encode_exception
from manyhands.wire.pickling import EncodedParts, Encoder

#: Results of exactly these types need no encoder: they refer to nothing, and the C pickler writes each at once.
ATOMS = frozenset((int, float, bool, type(None)))
#: So do strings shorter than this; the pickler writes those of a whole frame's size in several parts.
TEXT_MAX = 4096


class _Sink:
    """A file for the C pickler: each pickle it writes becomes an element of the list."""

    def __init__(self, elements: list[bytes]) -> None:
        self.write = elements.append


class SlotCodec:
    """One for the process. `place` names the worker in errors."""

    def __init__(self, place: str) -> None:
        self.definitions = LoadedDefinitions(place)
        self.definitions.use()
        self._encoder = Encoder(self.definitions)
        #: The pickles that `dump_atom` has made, for the slot's loop to take and extend.
        self.finished: list[bytes] = []
        atom_pickler = pickle.Pickler(_Sink(self.finished), 5)
        atom_pickler.fast = True  # no memo, so nothing to clear
        self.dump_atom = atom_pickler.dump

    def encode(self, result: Any) -> bytes:
        """Any result. Raises ResultEncodeError."""
        return self._encoder.encode_result(result)[0]

    def encode_parts(self, result: Any) -> EncodedParts:
        """The same, with its large buffers apart, which are not copied."""
        try:
            return self._encoder.encode_parts(result)
        except EncodeError as error:
            raise ResultEncodeError.of(error) from error

    def encode_exception(self, error: BaseException) -> bytes:
        """What a task raised, with its traceback; whatever it is, this succeeds."""
        return encode_exception(error, self._encoder, self.definitions)[0]
