"""A slot on virtual time: obeys the page protocol of `worker/cutting.py`, and does with a task what its fate says."""

from __future__ import annotations

import asyncio
from array import array
from collections import deque
from collections.abc import Callable
from typing import Literal

from tests.simulation.items import error_of, result_of
from tests.simulation.scenario import Fate
from tests.unit.worker.model_slot import Word

from manyhands.wire.blocks import end_at, pack_ends
from manyhands.worker.commands import Feed, SendCut
from manyhands.worker.page import NO_LIMIT
from manyhands.worker.pieces import Lease
from manyhands.worker.reports import CutDone, Done, Failed, Interrupted, Ready, Report
from manyhands.worker.slot_state import Sight

#: Seconds from a slot's start to its being ready.
START_DELAY = 0.002

#: Finished tasks are sent before the next one starts, if the last were sent so long ago.
SEND_INTERVAL = 0.0002

#: What a task comes to this time.
Turn = Literal["succeeds", "fails", "fails finally", "crashes"]


class SimulatedSlot:
    """One process. `run(feed, index, item)` is asked when a task starts: its fate, and how it goes this time."""

    def __init__(
        self,
        run: Callable[[Feed, int, bytes], tuple[Fate, Turn]],
        on_reports: Callable[[list[Report]], None],
        on_death: Callable[[int], None],
        late_words: bool,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._run = run
        self._on_reports = on_reports
        self._on_death = on_death
        self._late_words = late_words
        self._limit = Word(NO_LIMIT)
        self._started = Word()
        self._busy = Word()
        self._since = 0.0
        #: Frames, each with the number of stores to the limit before it was written.
        self._pipe: deque[tuple[Feed | SendCut, int]] = deque()
        self._feed: Feed | None = None
        self._position = 0
        self._blocked = False
        self._dead = False
        self._unsent: list[Report] = []
        #: (job, index) of what is finished and has not been sent.
        self.unsent_tasks: list[tuple[int, int]] = []
        self._done: list[bytes] = []
        self._done_seconds = 0.0
        self._base = 0
        self._sent_at = 0.0
        self._deaf = False  # of the task that runs
        self._timer: asyncio.Handle | None = self._loop.call_later(START_DELAY, self._come_up)

    # ------------------------------------------------------------ the agent's side

    def sight(self) -> Sight:
        now, late = self._loop.time(), self._late_words and not self._dead
        return Sight(self._started.load(now, late), bool(self._busy.load(now, late)), self._since)

    def set_limit(self, limit: int) -> None:
        self._limit.store(limit, self._loop.time())

    def write(self, command: Feed | SendCut) -> None:
        self._pipe.append((command, self._limit.stores))
        if self._timer is None and not self._dead:
            self._timer = self._loop.call_soon(self._go_on)

    def stop(self) -> None:
        """The process is gone."""
        if self._timer is not None:
            self._timer.cancel()

    def interrupt(self, position: int) -> None:
        """The task at this position is to end, if it runs."""
        if self.running != position or self._deaf:
            return
        assert self._timer is not None
        self._timer.cancel()
        self._close_run()
        self._unsent.append(Interrupted(position, self._loop.time() - self._since))
        self._next()
        self._send()
        self._go_on()

    @property
    def running(self) -> int:
        """The position of the task that runs; 0: none does."""
        return 0 if self._dead or self._feed is None or self._blocked else self._position

    def kill(self, meant: int) -> None:
        """By the agent, for the sake of the task at position `meant`."""
        if not self._dead:
            if self.running not in (0, meant):
                self.unsent_tasks.append(self._task())
            self.stop()
            self._dead, self._timer = True, None
            self._on_death(-9)

    @property
    def is_busy(self) -> bool:
        return bool(self._busy.value) or bool(self._pipe)

    @property
    def running_task(self) -> tuple[Lease, int] | None:
        """The task it runs: its lease and its index."""
        if not self._busy.value or self._blocked or self._feed is None:
            return None
        feed = self._feed
        return feed.piece.lease, feed.lo + self._position - feed.position

    # ------------------------------------------------------------ its own

    def _come_up(self) -> None:
        self._unsent.append(Ready())
        self._send()
        self._go_on()

    def _go_on(self) -> None:
        """As far as no time passes."""
        self._timer = None
        while True:
            if self._blocked:
                if not self._look_for_cut():
                    return
            elif self._feed is not None:
                now = self._since = self._loop.time()
                self._started.store(self._position, now)
                self._busy.store(1, now)
                if self._position < self._limit.load(now, self._late_words):
                    self._begin()
                    return
                self._pause()
                self._blocked = True
            elif not self._pipe:
                self._pause()
                return
            else:
                frame, stores = self._pipe.popleft()
                self._limit.know(stores)
                if isinstance(frame, Feed):
                    self._feed, self._position = frame, frame.position
                else:
                    self._close_run()
                    self._unsent.append(CutDone(frame.cut))

    def _look_for_cut(self) -> bool:
        """The cut always follows the limit that stopped us: what it takes is dropped, what it leaves is run."""
        for frame, stores in self._pipe:
            self._limit.know(stores)
            if isinstance(frame, SendCut):
                self._blocked = False
                if self._position >= frame.cut:
                    self._feed = None
                    return True
                self._busy.store(1, self._loop.time())
                self._begin()
                return False
        return False

    def _begin(self) -> None:
        feed = self._feed
        assert feed is not None
        if (self._done or self._unsent) and self._loop.time() - self._sent_at >= SEND_INTERVAL:
            self._close_run()
            self._send()
        index = feed.lo + self._position - feed.position
        piece = feed.piece
        base, ends, payload = piece.slice(index, index + 1)
        item = payload[: end_at(ends, 0) - base]
        fate, turn = self._run(feed, index, item)
        self._deaf = fate.deaf
        self._timer = self._loop.call_later(fate.seconds, self._finish, item, turn)

    def _finish(self, item: bytes, turn: Turn) -> None:
        feed = self._feed
        assert feed is not None
        seconds = self._loop.time() - self._since
        if turn == "crashes":
            # What was done and not sent is lost with it, as in a real one.
            self._dead, self._timer = True, None
            self._on_death(-9)
            return
        if turn == "succeeds":
            self._done.append(result_of(item))
            self._done_seconds += seconds
        else:
            self._close_run()
            retryable = turn == "fails"
            self._unsent.append(Failed(self._position, error_of(item), retryable, seconds))
        self._next()
        self._go_on()

    def _next(self) -> None:
        feed = self._feed
        assert feed is not None
        self.unsent_tasks.append(self._task())
        self._position += 1
        if self._position == feed.position + feed.hi - feed.lo:
            self._close_run()
            self._feed = None

    def _task(self) -> tuple[int, int]:
        feed = self._feed
        assert feed is not None
        return feed.piece.lease.job, feed.lo + self._position - feed.position

    def _pause(self) -> None:
        self._close_run()
        self._send()
        if self._busy.value:
            self._busy.store(0, self._loop.time())

    def _close_run(self) -> None:
        if not self._done:
            return
        ends, total = array("I"), self._base
        for result in self._done:
            total += len(result)
            ends.append(total)
        count = len(self._done)
        report = Done(
            self._position - count, count, self._base, pack_ends(ends), b"".join(self._done), self._done_seconds
        )
        self._unsent.append(report)
        self._base = total
        self._done, self._done_seconds = [], 0.0

    def _send(self) -> None:
        """Over the pipe: the agent reads it in its own turn."""
        if self._unsent:
            self._sent_at = self._loop.time()
            reports, self._unsent = self._unsent, []
            self.unsent_tasks.clear()
            self._loop.call_soon(self._on_reports, reports)
