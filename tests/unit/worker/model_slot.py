"""A slot that obeys the page protocol one small step at a time, so that a test can interleave it with the agent."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable

from manyhands.wire.blocks import pack_ends
from manyhands.worker.commands import Feed, SendCut, SendDefinition
from manyhands.worker.page import NO_LIMIT
from manyhands.worker.pieces import Piece
from manyhands.worker.reports import CutDone, Done, Failed, Interrupted, Ready, Report, Stored, Wanted
from manyhands.worker.slot_state import Sight

#: A store is visible to the other side after so many seconds at the latest; really a few hundred nanoseconds.
STORE_DELAY = 0.0005

#: What a slot uses that has run nothing.
SLOT_BYTES = 10

TaskKey = tuple[int, int]  # lease, index


def key_of(piece: Piece, index: int) -> TaskKey:
    return piece.lease.number, index


class Word:
    """A shared word: the writer sees its store at once, the other side up to STORE_DELAY later.

    But not later than a frame that was written after it: the pipe's lock orders the memory of both.
    """

    def __init__(self, value: int = 0) -> None:
        self._stores = [(-1.0, value)]
        self._known = 0  # the first store that the other side may still see

    @property
    def value(self) -> int:
        return self._stores[-1][1]

    @property
    def stores(self) -> int:
        return len(self._stores)

    def store(self, value: int, now: float) -> None:
        self._stores.append((now, value))

    def know(self, stores: int) -> None:
        """The other side has read a frame that was written after so many stores."""
        self._known = max(self._known, stores - 1)

    def load(self, now: float, late: bool) -> int:
        at = len(self._stores) - 1
        while late and at > self._known and now < self._stores[at][0] + STORE_DELAY:
            at -= 1
        return self._stores[at][1]


class ModelSlot:
    """One process. `on_run` is told of each task that starts; `seconds` and `fails` say how it goes.

    memory: the bytes that a task takes when it starts, and those of them that it leaves when it ends. keep: has written
    its result, under this id.
    """

    def __init__(
        self,
        on_run: Callable[[TaskKey], None],
        seconds: Callable[[TaskKey], float],
        fails: Callable[[TaskKey], bool],
        max_definitions: int = 1000,
        memory: Callable[[TaskKey], tuple[int, int]] = lambda _: (0, 0),
        keep: Callable[[TaskKey], bytes | None] = lambda _: None,
    ) -> None:
        self._on_run, self._seconds, self._fails = on_run, seconds, fails
        self._memory = memory
        self._keep = keep
        #: Bytes that earlier tasks left in it, and that the present one has taken.
        self._left = SLOT_BYTES
        self._own = 0
        self.started = Word()
        self.busy = Word()
        self.limit = Word(NO_LIMIT)
        self.since = 0.0
        #: Frames, each with the number of stores to `limit` before it was written.
        self.pipe: deque[tuple[Feed | SendCut, int]] = deque()
        self.definitions: dict[bytes, None] = {}
        self.max_definitions = max_definitions
        self.unsent: list[Report] = [Ready()]
        self.sent: list[Report] = []
        self.state = "reading"
        self.feed: Feed | None = None
        self.position = 0
        self.ends_at = 0.0
        self.ran = 0
        self._base = 0
        self._run: list[TaskKey] = []
        self._run_seconds = 0.0
        self._asked: tuple[bytes, ...] = ()

    # ------------------------------------------------------------ the agent's side

    def sight(self, now: float, late: bool) -> Sight:
        return Sight(self.started.load(now, late), bool(self.busy.load(now, late)), self.since)

    @property
    def used_bytes(self) -> int:
        return self._left + self._own

    def write(self, command: Feed | SendCut | SendDefinition) -> None:
        if isinstance(command, SendDefinition):
            self.definitions.pop(command.hash, None)
            self.definitions[command.hash] = None
            while len(self.definitions) > self.max_definitions:
                del self.definitions[next(iter(self.definitions))]
        else:
            self.pipe.append((command, self.limit.stores))

    def interrupt(self, position: int, now: float) -> bool:
        """A signal arrives; whether it ended the task that runs."""
        if self.state != "running" or self.position != position:
            return False
        self._close_run()
        self.unsent.append(Interrupted(position, now - self.since))
        self.send()
        self._next()
        return True

    # ------------------------------------------------------------ its own

    def step(self, now: float, late: bool) -> bool:
        """One action that the agent could observe; False if it can do nothing now."""
        match self.state:
            case "reading":
                return self._read(now)
            case "wanting":
                return self._want(now)
            case "publishing":
                self.started.store(self.position, now)
                self.since = now
                self.busy.store(1, now)
                self.state = "checking"
                return True
            case "checking":
                if self.position < self.limit.load(now, late):
                    self._start(now)
                else:
                    self._close_run()
                    self.send()
                    self.busy.store(0, now)
                    self.state = "blocked"
                return True
            case "blocked":
                return self._look_for_cut(now)
            case "running":
                if now < self.ends_at:
                    return False
                self._finish(now)
                return True
        raise AssertionError(self.state)

    def _read(self, now: float) -> bool:
        if not self.pipe:
            self._close_run()
            self.send()
            moved = self.busy.value != 0
            if moved:
                self.busy.store(0, now)
            return moved
        frame, stores = self.pipe.popleft()
        self.limit.know(stores)
        if isinstance(frame, SendCut):
            self._close_run()
            self.unsent.append(CutDone(frame.cut))
        else:
            self.feed = frame
            self.position = frame.position
            self.state = "wanting"
        return True

    def _want(self, now: float) -> bool:
        assert self.feed is not None
        missing = tuple(hash for hash in self.feed.piece.needs if hash not in self.definitions)
        if not missing:
            self.state = "publishing"
            self._asked = ()
            return True
        if self._asked == missing:
            return False
        self._asked = missing
        self._close_run()
        self.unsent.append(Wanted(missing))
        self.send()
        self.busy.store(0, now)
        return True

    def _look_for_cut(self, now: float) -> bool:
        for frame, stores in self.pipe:
            self.limit.know(stores)
            if isinstance(frame, SendCut):
                if self.position < frame.cut:
                    self.busy.store(1, now)
                    self._start(now)
                else:
                    self.feed = None
                    self.state = "reading"
                return True
        return False

    def _task(self) -> TaskKey:
        assert self.feed is not None
        return key_of(self.feed.piece, self.feed.lo + self.position - self.feed.position)

    def _start(self, now: float) -> None:
        task = self._task()
        self._on_run(task)
        self._own = self._memory(task)[0]
        self.ran += 1
        self.ends_at = now + self._seconds(task)
        self.state = "running"

    def _finish(self, now: float) -> None:
        assert self.feed is not None
        task = self._task()
        if self._fails(task):
            self._close_run()
            self.unsent.append(Failed(self.position, repr(task).encode(), retryable=True, seconds=now - self.since))
        else:
            if self.feed.piece.keep_bytes and (id := self._keep(task)) is not None:
                self.unsent.append(Stored(self.position, id, self.feed.piece.keep_bytes))
            self._run.append(task)
            self._run_seconds += now - self.since
        self._next()

    def _next(self) -> None:
        assert self.feed is not None
        self._left += self._memory(self._task())[1]
        self._own = 0
        self.position += 1
        if self.position == self.feed.position + self.feed.hi - self.feed.lo:
            self._close_run()
            self.feed = None
            self.state = "reading"
        else:
            self.state = "publishing"

    def _close_run(self) -> None:
        if not self._run:
            return
        ends, payload = array("I"), b""
        for task in self._run:
            payload += repr(task).encode()
            ends.append(self._base + len(payload))
        count = len(self._run)
        # `position` is one past the run: it is closed before the next task is counted.
        self.unsent.append(Done(self.position - count, count, self._base, pack_ends(ends), payload, self._run_seconds))
        self._base += len(payload)
        self._run, self._run_seconds = [], 0.0

    def checkpoint(self) -> None:
        """Send what is finished, as the slot does before it starts a task."""
        if self.state != "running":
            self._close_run()
            self.send()

    def send(self) -> None:
        self.sent += self.unsent
        self.unsent = []

    @property
    def is_running(self) -> TaskKey | None:
        return self._task() if self.state == "running" else None
