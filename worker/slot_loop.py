"""The slot's loop: reads chunks, runs their tasks one by one, reports; the hot path of the whole system."""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from time import monotonic
from typing import Any

from manyhands.wire import data_format, stored
from manyhands.wire.buffers import Buffer
from manyhands.wire.definitions import UnknownDefinition
from manyhands.worker import slot_context
from manyhands.worker import slot_frames as frames
from manyhands.worker.page import BUSY, LIMIT, SETTING_UP, SINCE, STARTED, Page
from manyhands.worker.slot_by_key import GROUP, MERGE, group_leaf, keep, merge_partition
from manyhands.worker.slot_calls import COROUTINE, AsyncRunner, caller, caller_with
from manyhands.worker.slot_codec import ATOMS, TEXT_MAX, SlotCodec
from manyhands.worker.slot_evaluations import EVALUATE, evaluating, text_of, with_context
from manyhands.worker.slot_folds import SEQUENCES, folder, pickles
from manyhands.worker.slot_frames import unpack_offsets
from manyhands.worker.slot_interrupts import Interrupts
from manyhands.worker.slot_pipes import AgentGone, Inbox, Outbox
from manyhands.worker.slot_setups import SetUps
from manyhands.worker.slot_store import SlotStore

#: Before it starts a task the slot sends what is finished, if the last time was so many seconds ago.
#: Behind a slow task waits only what was finished within that time before it; without it, a send a task.
SEND_INTERVAL = 0.0002
#: If for so many seconds there is nothing to do, the slot lets go of what it keeps for the next task.
IDLE_DELAY = 0.05

#: Calls that take their items as they are.
_UNDECODED = SEQUENCES | {GROUP, MERGE, EVALUATE}


class SlotLoop:
    """One slot. `run` returns only by exception: AgentGone."""

    def __init__(self, inbox_fd: int, outbox_fd: int, page: Page, codec: SlotCodec) -> None:
        self._page = page
        self._words = page.words
        self._times = page.times
        self._codec = codec
        self._definitions = codec.definitions
        self._outbox = Outbox(outbox_fd)
        self._store = SlotStore(codec.definitions.place)
        stored.use(self._store)
        self._inbox = Inbox(inbox_fd, codec.definitions.add_blob, self._store.use, self._before_wait)
        self.interrupts = Interrupts(page.words)
        self._run_coroutine = AsyncRunner(self.interrupts).run
        self._set_ups = SetUps()
        #: (position, state): what an earlier attempt saved, or this one.
        self._saved = 0, b""
        self._is_disowned = False
        self._child_error: BaseException | None = None

    def disown(self) -> None:
        """In a forked child: page and pipes are its parent's."""
        self._is_disowned = True
        self.interrupts.position = 0
        slot_context.leave_page()
        # The loop, should the child come back to it, stops at the page: it runs no task of its parent's.
        self._page.close()
        self._inbox.close()
        self._outbox.close()

    def run(self) -> None:
        """Serve until the agent is gone. In a forked child that comes back here, there is none from the start;
        what the child's part of the task raises comes out of here.
        """
        try:
            self._serve()
        except Exception as error:
            if self._is_disowned and error is not self._child_error:
                raise AgentGone("a forked child has no agent") from error
            raise

    def _serve(self) -> None:
        self._outbox.ready()
        while True:
            kind, body = self._inbox.next()
            if kind == frames.CHUNK:
                chunk = frames.read_chunk(body)
                del body  # while the slot waits for the next frame it should not hold the last one's bytes
                self._run_chunk(chunk)
                del chunk
            elif kind == frames.CUT:
                # Chunks above it were skipped, those below have run: see `cutting`.
                self._outbox.cut_done(frames.read_cut(body))
            elif kind == frames.STATE:
                self._saved = frames.read_state(body)
            else:
                raise frames.FrameError(f"frames of kind {kind} are unknown")

    def _before_wait(self) -> None:
        """Nothing to do until the agent writes: it must see that, and have what is finished and printed."""
        self._words[BUSY] = 0
        self._outbox.send()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # closed, None, or whatever a task put there
                stream.flush()
        if self._store.keeps and not self._inbox.wait(IDLE_DELAY):
            self._store.forget()

    # ------------------------------------------------------------ a chunk

    def _run_chunk(self, chunk: frames.Chunk) -> None:
        words = self._words
        # Published before the function is loaded: what that may do to the process is charged to this task.
        self._times[SINCE] = monotonic()  # before STARTED: a task must never seem to run as long as the one before it
        words[STARTED] = chunk.position
        words[BUSY] = 1
        slot_context.enter(self._page, chunk, self)
        try:
            function = None
            if chunk.function:
                function = self._with_definitions(lambda: self._definitions.load(chunk.function))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is these tasks' fault and theirs only
            self._fail_chunk(chunk, error)
            return
        if not chunk.context:
            self._run_tasks(chunk, self._caller(chunk.call, function))
        elif (left := self._set_up(chunk)) is not None:
            context = self._set_ups[chunk.context, chunk.function]
            self._run_tasks(left, self._caller_with(context, chunk.call, function))

    def _caller(self, call: int, function: Any) -> Callable[[Any], Any]:
        if call == GROUP:
            map_fn, reduce_fn = function
            return lambda item: group_leaf(map_fn, reduce_fn, pickles(item, self._load_next), self._codec.encode)
        if call == MERGE:
            return lambda item: merge_partition(function[1], item, self._decode, self._codec.encode, self._store.map)
        if call == EVALUATE:
            return evaluating(function)
        return folder(call, function, self._load_next) if call in SEQUENCES else caller(call, function)

    def _caller_with(self, context: Any, call: int, function: Any) -> Callable[[Any], Any]:
        if call in SEQUENCES or call == GROUP:
            map_fn, reduce_fn = function
            return self._caller(call, (partial(map_fn, context=context), reduce_fn))
        if call == EVALUATE:
            return self._caller(call, with_context(function, context))
        return caller_with(context, call, function)

    def _set_up(self, chunk: frames.Chunk) -> frames.Chunk | None:
        """What is left of the chunk once its context is there; None: nothing.

        A task that needs a context first makes it: it fails with what that raises, and is charged with what that does
        to the process. The next one tries again.
        """
        words, key = self._words, (chunk.context, chunk.function)
        set_up = partial(self._make_context, chunk.context)
        while key not in self._set_ups:
            position = chunk.position
            self._outbox.send()  # what is finished does not wait for this
            words[STARTED] = position
            if position >= words[LIMIT] and position >= self._inbox.cut_ahead():
                return None
            words[BUSY] = words[SETTING_UP] = 1
            begun = monotonic()
            try:
                self.interrupts.position = position
                self._set_ups.make(key, set_up)
                self.interrupts.position = 0
            except BaseException as error:  # noqa: BLE001 - as a task's
                self.interrupts.position = 0
                with contextlib.suppress(Exception):  # a class may forbid it
                    error.add_note("(raised by the set-up that with_options(context=) names, before the task itself)")
                self._fail(chunk, position, error, monotonic() - begun)
                chunk = chunk.after_first()
            self._times[SINCE] = monotonic()  # the task begins only now
            words[SETTING_UP] = 0
            if not chunk.count:
                return None
        return chunk

    def _make_context(self, hash: bytes) -> Any:
        made = self._with_definitions(lambda: self._definitions.load(hash))()
        return self._run_coroutine(made) if type(made) is COROUTINE else made

    def _run_tasks(self, chunk: frames.Chunk, function: Callable[[Any], Any]) -> None:  # noqa: PLR0915 - calls cost
        """The hot loop: publish, read the limit, decode, call, encode; each task fails for itself.

        `interrupts.position` is set only inside the `try`, and never where a result already counts as finished:
        there an exception out of nowhere ends this task and nothing else.
        """
        words, times = self._words, self._times
        clock = monotonic
        loads: Callable[[Any], Any] = _as_it_is if chunk.call in _UNDECODED else pickle.loads
        if self._store.keeps:
            loads = self._store.forgetting(loads)
        encode, dump, coroutine = self._encoder(chunk), self._codec.dump_atom, COROUTINE
        atoms, text = (frozenset(), None) if chunk.keep_as else (ATOMS, str)
        outbox, interrupts = self._outbox, self.interrupts
        send_due = outbox.sent + SEND_INTERVAL
        payload = chunk.payload
        base = start = chunk.base
        finished = self._codec.finished  # results of the tasks just below `position`, not in the outbox yet
        begun = clock()  # when the first of them began
        position = chunk.position
        for end in unpack_offsets(chunk.ends):
            now = clock()
            if now >= send_due:
                outbox.done(position, finished, now - begun)
                outbox.send()
                begun = now = clock()
                send_due = now + SEND_INTERVAL
            times[SINCE] = now
            words[STARTED] = position
            if position >= words[LIMIT]:
                outbox.done(position, finished, now - begun)
                if position >= self._inbox.cut_ahead():
                    return
                words[BUSY] = 1
                times[SINCE] = begun = now = clock()
            data = payload[start - base : end - base]
            start = end
            try:
                interrupts.position = position
                try:
                    item = loads(data)
                except Exception:  # noqa: BLE001 - says the same again, in words for the user
                    item = self._decode(data)
                result = function(item)
                interrupts.position = 0
                kind = type(result)
                if kind in atoms or (kind is text and len(result) < TEXT_MAX):
                    dump(result)
                else:
                    interrupts.position = position
                    if kind is coroutine:
                        result = self._run_coroutine(result)
                    result = encode(result)
                    interrupts.position = 0
                    finished.append(result)
            except BaseException as error:  # noqa: BLE001 - SystemExit too ends this task, not the slot
                interrupts.position = 0
                ended = clock()
                outbox.done(position, finished, now - begun)
                self._fail(chunk, position, error, ended - now, text_of if chunk.call == EVALUATE else None)
                begun = clock()
            item = result = None  # the next task's may be large, too
            position += 1
        outbox.done(position, finished, clock() - begun)

    def _encoder(self, chunk: frames.Chunk) -> Callable[[Any], bytes]:
        """What makes bytes of a result."""
        if chunk.call == GROUP:
            return partial(keep, put=partial(self._put, chunk.keep_as))
        if chunk.call == EVALUATE:
            return _as_it_is
        return partial(self._keep, chunk) if chunk.keep_bytes or chunk.keep_as else self._codec.encode

    def _keep(self, chunk: frames.Chunk, result: Any) -> bytes:
        """Like `encode`; but a result that is large enough stays in the store, and these bytes load it from there."""
        parts = self._codec.encode_parts(result)
        if not chunk.keep_as:
            if not parts.buffers and len(parts.data) < chunk.keep_bytes:
                return parts.data
            if parts.size < chunk.keep_bytes:
                return self._codec.encode(result)
        encoded = data_format.encode(parts.data, parts.buffers)
        id = self._put(chunk.keep_as, encoded.parts, encoded.size)
        return self._codec.encode(result) if id is None else stored.item(id)

    def _put(self, keep_as: bytes, parts: Sequence[Buffer], size: int) -> bytes | None:
        """Into the store, under this id or a new one, which is returned. None: there is no room, or no store."""
        position, self.interrupts.position = self.interrupts.position, 0  # what has been written has to be reported
        id = None if self._is_disowned else self._store.put(parts, keep_as)
        if id is None:
            self.interrupts.position = position
        else:
            self._outbox.stored(position, id, size)
        return id

    # ------------------------------------------------------------ the rest is rare

    def _decode(self, data: frames.Buffer) -> Any:
        """An item that did not decode: with the definitions it lacks, or with the error the user should see."""
        return self._with_definitions(lambda: self._definitions.loads(data))

    def _load_next(self, file: BytesIO) -> Any:
        """One of several pickles."""
        at = file.tell()
        try:
            return pickle.load(file)
        except Exception:  # noqa: BLE001 - says the same again, in words for the user
            return self._with_definitions(lambda: self._definitions.load_at(file, at))

    def _with_definitions(self, load: Callable[[], Any]) -> Any:
        """Call `load`, fetching the definitions that it finds missing."""
        while True:
            try:
                return load()
            except UnknownDefinition as unknown:
                hash = unknown.hash
            # What is read from the pipe must not be lost to an interrupt.
            interruptible, self.interrupts.position = self.interrupts.position, 0
            self._outbox.wanted([hash])
            while hash not in self._definitions:
                self._inbox.read()
            self._words[BUSY] = 1
            self.interrupts.position = interruptible

    def save(self, state: Any) -> None:
        """For the task that runs: see CurrentTask."""
        position = self._words[STARTED]
        data = self._codec.encode(state)
        # What is written to the pipe must not be torn by an interrupt.
        interruptible, self.interrupts.position = self.interrupts.position, 0
        self._saved = position, data
        self._outbox.saved(position, data)
        self._outbox.send()
        self.interrupts.position = interruptible

    def load(self) -> Any:
        """Likewise; None if nothing was saved."""
        position, data = self._saved
        return self._decode(data) if position == self._words[STARTED] else None

    def _fail(
        self,
        chunk: frames.Chunk,
        position: int,
        error: BaseException,
        seconds: float,
        encode: Callable[[BaseException], bytes] | None = None,
    ) -> None:
        if self._is_disowned:
            self._child_error = error
            raise error
        if self.interrupts.was_asked(position):
            self._outbox.interrupted(position, seconds)
            self._outbox.send()
            return
        retryable = self._is_retryable(chunk, error)
        self._outbox.failed(position, (encode or self._codec.encode_exception)(error), retryable, seconds)

    def _fail_chunk(self, chunk: frames.Chunk, error: BaseException) -> None:
        """The function cannot be loaded: so fails every task of the chunk, below the limit as ever."""
        words = self._words
        retryable = self._is_retryable(chunk, error)
        payload = self._codec.encode_exception(error)
        now = monotonic()
        seconds = now - self._times[SINCE]
        for position in range(chunk.position, chunk.position + chunk.count):
            if now >= self._outbox.sent + SEND_INTERVAL:
                self._outbox.send()
            now = monotonic()
            words[STARTED] = position
            if position >= words[LIMIT] and position >= self._inbox.cut_ahead():
                return
            self._outbox.failed(position, payload, retryable, seconds)
            seconds = 0.0

    def _is_retryable(self, chunk: frames.Chunk, error: BaseException) -> bool:
        """Whether the job's retry_on names the exception; without one, any that is no request to exit."""
        if not chunk.retry_on:
            return isinstance(error, Exception)
        try:
            named = self._with_definitions(lambda: self._definitions.load(chunk.retry_on))
            return isinstance(error, named)
        except Exception as broken:  # noqa: BLE001 - the user's classes; the user must see it
            error.add_note(f"(not retried: retry_on could not be loaded: {type(broken).__name__}: {broken})")
            return False


def _as_it_is(data: frames.Buffer) -> Any:
    return data
