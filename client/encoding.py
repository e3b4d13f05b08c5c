"""Calls to bytes and outcomes back: the client's end of `wire.pickling` and `wire.definitions`."""

from __future__ import annotations

import functools
import os
import pickle
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol
from weakref import WeakSet, WeakValueDictionary

from manyhands.client.futures import Outcome
from manyhands.client.gathering import Blob, Target
from manyhands.client.jobs import JobDefinitions
from manyhands.client.options import Options
from manyhands.client.room import WAY_OUT
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire import data_format
from manyhands.wire.attempt_ends import AttemptEnd
from manyhands.wire.blocks import unpack_ends
from manyhands.wire.data_format import Encoded
from manyhands.wire.definitions import LoadedDefinitions, UnknownDefinition
from manyhands.wire.errors import (
    ClusterError,
    DataLost,
    DecodeError,
    MasterFull,
    RemoteModuleError,
    TaskCrashed,
    TaskMemoryExceeded,
    TaskTimeout,
)
from manyhands.wire.exception_codec import decode_exception
from manyhands.wire.pickling import EncodedItems, Encoder, Feed, Handle, Share
from manyhands.wire.registry import DefinitionRegistry, is_definable
from manyhands.wire.told import MAX_TOLD

_PLACE = "the client"
#: Callables that get no definition travel with each item.
_APPLY = Target(b"", pb.CALL_APPLY, ())


class EncodedCall(NamedTuple):
    """One task: what it calls, its item, and the definitions that the item refers to."""

    target: Target
    item: bytes
    blobs: tuple[Blob, ...]
    handles: tuple[Handle, ...] = ()


class EncodedDatum(NamedTuple):
    """An object laid out to be kept in the cluster, with the definitions and the data that it refers to."""

    encoded: Encoded
    blobs: tuple[Blob, ...]
    handles: tuple[Handle, ...]


class Source(Protocol):
    """Where further definitions are that results refer to."""

    def find_blob(self, hash: bytes) -> bytes | None: ...


class _Origin:
    """The registry's definitions and, of results that an earlier process was sent, those that were kept with them."""

    def __init__(self, registry: DefinitionRegistry) -> None:
        self.original = registry.original
        self._registry = registry
        self.sources: WeakSet[Source] = WeakSet()

    def find_blob(self, hash: bytes) -> bytes | None:
        """See definitions.Origin."""
        blob = self._registry.find_blob(hash)
        if blob is None and self.sources:
            blob = next((found for each in list(self.sources) if (found := each.find_blob(hash)) is not None), None)
        return blob


class Encoding:
    """One for the process, as definitions are the same for all clients. Safe to use from several threads."""

    def __init__(self) -> None:
        self._registry = DefinitionRegistry()
        self._origin = _Origin(self._registry)
        self._loaded = LoadedDefinitions(_PLACE, 2 * MAX_TOLD, self._origin)
        self._loaded.use()
        self._local = threading.local()
        self._targets: WeakValueDictionary[tuple[bytes, int], Target] = WeakValueDictionary()
        self._latest: Target | None = None  # kept, for whoever submits one call after the other

    @property
    def _encoder(self) -> Encoder:
        try:
            encoder: Encoder = self._local.encoder
        except AttributeError:
            encoder = self._local.encoder = Encoder(self._registry)
        return encoder

    def add_source(self, source: Source) -> None:
        """Look for definitions there, too, as long as somebody holds it."""
        self._origin.sources.add(source)

    def classes_in(self, hash: bytes) -> dict[str, type]:
        """See DefinitionRegistry.classes_in."""
        return self._registry.classes_in(hash)

    # ------------------------------------------------------------ encoding

    def _target(self, function: Callable[..., Any], call: pb.Call) -> Target:
        target = self._targets.get((self._registry.define(function), call))
        if target is None:
            digest, blobs = self._registry.define_with_blobs(function)
            target = self._latest = self._targets[digest, call] = Target(digest, call, blobs)
        return target

    def _blobs(self, digests: Iterable[bytes]) -> tuple[Blob, ...]:
        """Taken at once: the registry drops what it has not needed for long."""
        return tuple([(digest, self._registry.blob(digest)) for digest in digests])

    def encode_call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        share: Share | None = None,
    ) -> EncodedCall:
        """One call, as it is now. Raises EncodeError."""
        if is_definable(function):
            target = self._target(function, pb.CALL_FULL)
            item, needed, handles = self._encoder.encode_call(args, kwargs, function=target.function, share=share)
        else:
            target = _APPLY
            call = (function, args, kwargs)
            item, needed, handles = self._encoder.encode_one(call, what="the call", share=share)
        blobs = self._blobs(needed) if needed else ()
        return EncodedCall(target, item, _with_theirs(blobs, handles) if handles else blobs, handles)

    def encode_part(self, obj: Any, target: Target, what: str, share: Share | None) -> EncodedCall:
        """Part of an item that several pickles make up; `what` names it in errors. Raises EncodeError."""
        data, needed, handles = self._encoder.encode_one(obj, function=target.function, what=what, share=share)
        blobs = self._blobs(needed) if needed else ()
        return EncodedCall(target, data, _with_theirs(blobs, handles) if handles else blobs, handles)

    def encode_datum(self, obj: Any) -> EncodedDatum:
        """Raises EncodeError."""
        parts = self._encoder.encode_parts(obj)
        blobs = _with_theirs(self._blobs(parts.definitions), parts.handles)
        return EncodedDatum(data_format.encode(parts.data, parts.buffers), blobs, parts.handles)

    def target(self, function: Callable[..., Any], call: pb.Call) -> Target:
        """What the tasks of a map call. Raises EncodeError."""
        return self._target(function, call) if is_definable(function) else _APPLY

    def feed(self, target: Target, function: Callable[..., Any], call: pb.Call, inputs: Iterable[Any]) -> Feed:
        """What the items of a map come from."""
        if target is not _APPLY:
            return Feed(inputs)
        if call == pb.CALL_ITEM:
            return Feed((function, (item,), {}) for item in inputs)
        return Feed((function, tuple(items), {}) for items in inputs)

    def encode_items(
        self,
        target: Target,
        feed: Feed,
        max_bytes: int,
        max_items: int,
        max_seconds: float,
        share: Share | None = None,
    ) -> tuple[EncodedItems, tuple[Blob, ...]]:
        """See Encoder.encode_items; with the definitions that the items refer to."""
        encoded = self._encoder.encode_items(
            feed, max_bytes, max_items, function=target.function or None, max_seconds=max_seconds, share=share
        )
        blobs = self._blobs(encoded.definitions) if encoded.definitions else ()
        return encoded, _with_theirs(blobs, encoded.handles) if encoded.handles else blobs

    def pair(self, map_fn: Callable[..., Any], reduce_fn: Callable[..., Any], call: pb.Call) -> Target:
        """What the leaves of a reduction call. Raises EncodeError."""
        return self.whole((map_fn, reduce_fn), call)

    def whole(self, obj: Any, call: pb.Call) -> Target:
        """An object as what tasks call, whatever such a call makes of it. Raises EncodeError."""
        digest, blobs = self._registry.define_with_blobs(obj)
        return Target(digest, call, blobs)

    def encode_options(self, options: Options) -> JobDefinitions:
        """What a job with these options refers to. Raises EncodeError."""
        retry_on = context = b""
        blobs: dict[bytes, bytes] = {}
        if options.retry_on != (Exception,):
            retry_on, needed = self._registry.define_with_blobs(options.retry_on)
            blobs.update(needed)
        if options.context is not None:
            context, needed = self._registry.define_with_blobs(options.context)
            blobs.update(needed)
        return JobDefinitions(retry_on, context, tuple(blobs.items()))

    def context_hash(self, options: Options) -> bytes:
        """Of the set-up, as it is now; empty if there is none. Raises EncodeError."""
        return b"" if options.context is None else self._registry.define(options.context)

    # ------------------------------------------------------------ decoding

    def learn(self, digest: bytes, blob: bytes) -> None:
        """A definition of another client, to which results of its jobs may refer."""
        self._loaded.add_blob(digest, blob)

    def decode_outcome(self, outcome: Outcome) -> tuple[Any, BaseException | None]:
        """(result, exception). Runs user code."""
        if isinstance(outcome, bytes):
            try:
                return pickle.loads(outcome), None
            except Exception as error:  # noqa: BLE001 - whatever a user's __setstate__ raises
                return None, undecodable(error)
        if isinstance(outcome, BaseException):
            return None, outcome
        try:
            return None, self._decode_failure(outcome)
        except Exception as error:  # noqa: BLE001 - likewise, of an exception
            return None, undecodable(error)

    def decode_datum(self, datum: memoryview) -> Any:
        """The object, whose arrays lie in `datum`. Raises DecodeError."""
        try:
            return data_format.decode(datum)
        except Exception as error:
            raise undecodable(error) from error

    def decode_run(self, run: pb.Results) -> Iterator[Any]:
        """Each result of a run, decoded when it is asked for and not kept. Raises whatever unpickling raises."""
        return map(pickle.loads, items_of(run))

    def decode_each(self, outcomes: Iterable[bytes]) -> Iterator[tuple[Any, BaseException | None]]:
        """(result, None) or (None, why it cannot be decoded) for each outcome."""
        return map(self.decode_outcome, outcomes)

    def _decode_failure(self, failure: pb.Failure) -> BaseException:
        if failure.kind == pb.Failure.KIND_EXCEPTION:
            return decode_exception(failure.payload, self._loaded)
        if failure.kind == pb.Failure.KIND_CRASHED:
            return _crashed(failure)
        if failure.kind == pb.Failure.KIND_TIMED_OUT:
            return TaskTimeout(
                failure.timeout, failure.text, str(failure.index), failure.limit or "timeout", failure.progress
            )
        if failure.kind == pb.Failure.KIND_MEMORY_EXCEEDED:
            return TaskMemoryExceeded(
                failure.used_bytes, failure.limit_bytes, failure.text, str(failure.index), failure.limit
            )
        if failure.kind == pb.Failure.KIND_DATA_LOST:
            return DataLost(failure.data, failure.text)
        if failure.kind == pb.Failure.KIND_NO_ROOM:
            return MasterFull(failure.text, WAY_OUT) if failure.limit else MasterFull(failure.text)
        return ClusterError(failure.text or "the task was rejected")


def _with_theirs(blobs: tuple[Blob, ...], handles: Iterable[Handle]) -> tuple[Blob, ...]:
    """Also the definitions that these data refer to."""
    theirs = [blob for handle in handles for blob in handle.blobs]
    return tuple(dict.fromkeys((*blobs, *theirs))) if theirs else blobs


def _crashed(failure: pb.Failure) -> TaskCrashed:
    history = tuple(
        AttemptEnd(
            worker=each.worker,
            exit_code=None if each.worker_lost or each.exit_code < 0 else each.exit_code,
            signal=-each.exit_code if each.exit_code < 0 else None,
            lost=(each.reason or "for no known reason") if each.worker_lost else "",
            at=each.at,
            seconds=each.seconds,
            memory=each.memory,
            stderr_tail=each.stderr_tail,
        )
        for each in failure.crashes
    )
    last = history[-1] if history else AttemptEnd("")
    return TaskCrashed(
        last.exit_code,
        last.signal,
        last.stderr_tail,
        attempts=len(history),
        worker=last.worker,
        task=str(failure.index),
        history=history,
    )


def items_of(run: pb.Results) -> list[bytes]:
    """The results of a run, encoded one by one."""
    payload, base = run.payload, run.base
    ends = unpack_ends(run.ends)
    if base:
        ends = [end - base for end in ends]  # type: ignore[assignment]
    items, start = [], 0
    for end in ends:
        items.append(payload[start:end])
        start = end
    return items


def undecodable(error: Exception) -> Exception:
    """What a result's reader is told when unpickling raised `error`."""
    if isinstance(error, ModuleNotFoundError):
        told: DecodeError = RemoteModuleError(str(error), _PLACE, error.name or str(error))
    elif isinstance(error, UnknownDefinition):
        told = DecodeError("it refers to a function or class that is not here any more", _PLACE)
    else:
        told = DecodeError(f"{type(error).__name__}: {error}", _PLACE)
    told.__cause__ = error
    return told


@functools.cache
def encoding() -> Encoding:
    """This process's."""
    return Encoding()


if hasattr(os, "register_at_fork"):
    # A forked child makes its own: another thread may have held a lock of this one.
    os.register_at_fork(after_in_child=encoding.cache_clear)
