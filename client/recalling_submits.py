"""submit with a checkpoint: a call whose result is there already is not sent, its future is done at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from manyhands.client.checkpoints import Checkpoint, Keeper
from manyhands.client.connection import Connection
from manyhands.client.content_key import content_keys
from manyhands.client.encoding import Encoding
from manyhands.client.futures import Future, Outcome
from manyhands.client.options import Options
from manyhands.client.submitting import SubmitStream
from manyhands.wire.errors import EncodeError


class RecallingStream(SubmitStream):
    """Owns the futures of earlier results."""

    def __init__(self, connection: Connection, encoding: Encoding, options: Options, checkpoint: Checkpoint) -> None:
        super().__init__(connection, encoding, options)
        self._checkpoint = checkpoint

    def submit(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        """See SubmitStream. Raises CheckpointError if results cannot be looked up or stored."""
        self._connection.check_open()
        try:
            key = content_keys().calls(function, self._options.context).key(args, kwargs)
        except EncodeError as error:
            return Future.failed(error)
        if not self._options.force_recompute:
            found = self._checkpoint.find_one(key)
            if found is not None:
                self._connection.stats.recalled(1)
                return Future.kept(self, self._checkpoint.outcomes(found)[0])
        self._checkpoint.writer.check()
        return self._send(function, args, kwargs, key)

    @property
    def is_current(self) -> bool:
        """See SubmitStream."""
        return self._checkpoint.store.is_there

    def flush(self) -> None:
        """See SubmitStream."""
        self._checkpoint.look_again()

    def _make_keeper(self) -> Keeper:
        return Keeper(self._checkpoint)

    # ------------------------------------------------------------ for futures that are done

    def decode(self, outcome: Outcome) -> tuple[Any, BaseException | None]:
        """See Owner."""
        return self._encoding.decode_outcome(outcome)

    def cancel(self, index: int) -> None:
        """See Owner."""
        raise AssertionError("it has ended already")

    def is_dispatched(self, index: int) -> bool:
        """See Owner."""
        return False

    def check_forked(self) -> None:
        """See Owner."""

    def is_awaited(self, index: int) -> None:
        """See Owner."""
