"""Who a callback belongs to: a party's code can be stopped for a while, or for ever, as `kill -9` does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any

_CURRENT: ContextVar[Party | None] = ContextVar("party", default=None)


class _Buried(BaseException):
    pass


class Party:
    """A simulated process. What runs in its context belongs to it, and so does all that this starts or sets a timer
    for: asyncio hands contexts on.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False
        self._stopped = False
        self._missed: list[Step | TimedStep] = []
        self.runners: list[asyncio.Task[Any]] = []
        self.context = copy_context()
        self.context.run(_CURRENT.set, self)

    def run(self, function: Callable[..., Any], *args: object) -> Any:
        """Call a function as this party."""
        return self.context.copy().run(function, *args)

    def owns(self, runner: asyncio.Task[Any]) -> None:
        """For the loop: a task of ours begins."""
        self.runners = [each for each in self.runners if not each.done()]
        self.runners.append(runner)

    def kill(self) -> None:
        """Nothing of it runs any more."""
        self.is_dead = True
        self._missed.clear()
        for runner in self.runners:
            runner._log_destroy_pending = False  # type: ignore[attr-defined]

    def stop(self) -> None:
        """Nothing of it runs until `go_on`; what should have then comes late."""
        self._stopped = True

    def go_on(self) -> None:
        """What came in meanwhile is seen first, then the timers: as a real loop does it."""
        self._stopped = False
        missed, self._missed = self._missed, []
        for step in sorted(missed, key=lambda step: not getattr(step._callback, "is_input", False)):
            step._loop._ready.append(step)

    def admits(self, step: Step | TimedStep) -> bool:
        """Whether a step may be taken now."""
        if self.is_dead:
            return False
        if self._stopped:
            self._missed.append(step)
            return False
        return True

    def bury(self) -> None:
        """At the very end: end the coroutines of the dead, which would otherwise complain when they are collected."""
        for runner in self.runners:
            coroutine = runner.get_coro()
            with contextlib.suppress(_Buried, StopIteration, RuntimeError):
                while coroutine.cr_running is False and coroutine.cr_frame is not None:
                    coroutine.throw(_Buried())  # again where it awaits something on its way out


class Step(asyncio.Handle):
    """A callback of a party."""

    __slots__ = ("_party",)

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[object, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context,
        party: Party,
    ) -> None:
        super().__init__(callback, args, loop, context)
        self._party = party

    def _run(self) -> None:
        if self._party.admits(self):
            asyncio.Handle._run(self)


class TimedStep(asyncio.TimerHandle):
    """A timer of a party."""

    __slots__ = ("_party",)

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[object, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context,
        party: Party,
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self._party = party

    def _run(self) -> None:
        if self._party.admits(self):
            asyncio.Handle._run(self)


def current() -> Party | None:
    """Whose code is running."""
    return _CURRENT.get()


def party_of(context: Context) -> Party | None:
    """Whose context it is."""
    return context.get(_CURRENT)


def is_input(method: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a callback by which something comes in from outside."""
    method.is_input = True  # type: ignore[attr-defined]
    return method
