"""Options of calls: checked when they are set, shared by all calls of a view."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from manyhands.client.checkpoint_path import checkpoint_directory
from manyhands.wire.bounds import SECONDS_MAX, name_fault
from manyhands.wire.sizes import parse_bytes

_INT32_MAX = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Options:
    """How a call's tasks are run. Durations in seconds."""

    #: Extra attempts after an exception.
    retries: int = 0
    #: Before the first extra attempt; each further one waits `retry_backoff` times longer, up to the maximum.
    retry_delay: float = 1.0
    retry_backoff: float = 2.0
    retry_delay_max: float = 60.0
    #: Exception classes worth another attempt.
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    #: One attempt may run so long, then it is stopped and fails with TaskTimeout; None: as long as it takes, as below.
    timeout: float | None = None
    #: From submission to the end, all attempts together.
    total_timeout: float | None = None
    #: From submission to the first start.
    queue_timeout: float | None = None
    #: A task may run so long without calling `current_task().progress()`.
    progress_timeout: float | None = None
    #: Bytes of private memory that the slot of a task may use (set as `wire.sizes` reads it); with more its process is
    #: killed, and it fails with TaskMemoryExceeded.
    memory: int | None = None
    #: Higher runs first.
    priority: int = 0
    #: Tasks of one call that may run at the same time; None: as many as there are slots.
    max_parallel: int | None = None
    #: At a call's end idle slots run second copies of its slowest tasks; the first result counts.
    speculate: bool = False
    #: Results are Refs; those that are large stay where they were computed.
    keep_results: bool = False
    #: Called without arguments once in each slot, for each function: what it returns is what the function's calls there
    #: get as `context`.
    context: Callable[[], Any] | None = None
    #: Shown by `manyhands status`; None: the function's name.
    name: str | None = None
    #: The directory in which results are kept, so that a later call need not compute them again.
    checkpoint: str | None = None
    #: Compute them again all the same, and keep the new ones.
    force_recompute: bool = False

    def __post_init__(self) -> None:
        _check_whole("retries", self.retries, 0)
        _check_seconds("retry_delay", self.retry_delay)
        _check_seconds("retry_delay_max", self.retry_delay_max)
        _check_factor("retry_backoff", self.retry_backoff)
        for name in ("timeout", "total_timeout", "queue_timeout", "progress_timeout"):
            _check_limit(name, getattr(self, name))
        if self.memory is not None:
            object.__setattr__(self, "memory", _size("memory", self.memory))
        _check_whole("priority", self.priority, -_INT32_MAX)
        if self.max_parallel is not None:
            _check_whole("max_parallel", self.max_parallel, 1)
        _check_flag("speculate", self.speculate)
        _check_flag("keep_results", self.keep_results)
        if self.context is not None:
            _check_set_up("context", self.context)
        if self.name is not None and not isinstance(self.name, str):
            raise TypeError(f"name must be a string, not {self.name!r}")
        if self.name is not None and (fault := name_fault(self.name)) is not None:
            raise ValueError(f"name {fault}")
        object.__setattr__(self, "retry_on", _exception_classes(self.retry_on))
        if self.checkpoint is not None:
            object.__setattr__(self, "checkpoint", checkpoint_directory(self.checkpoint))
        if self.checkpoint is not None and self.keep_results:
            raise ValueError("a checkpoint keeps results in files, keep_results in the cluster: use one of them")
        _check_flag("force_recompute", self.force_recompute)
        if self.force_recompute and self.checkpoint is None:
            raise ValueError("force_recompute is about the results in a checkpoint: name it with checkpoint=")

    def changed(self, changes: dict[str, Any]) -> Options:
        """These options with some replaced. Raises TypeError for an unknown name or type, ValueError for a value."""
        known = [field.name for field in fields(self)]
        for name in changes:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
                raise TypeError(f"with_options() has no option {name}: {hint}")
        return replace(self, **changes)


def _check_flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")


def _check_whole(name: str, value: Any, lowest: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if not lowest <= value <= _INT32_MAX:
        raise ValueError(f"{name} must lie between {lowest} and {_INT32_MAX}, not at {value}")


def _check_seconds(name: str, value: Any) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not 0 <= value <= SECONDS_MAX:
        raise ValueError(f"{name} must lie between 0 and {SECONDS_MAX:g} seconds, not at {value}")


def _check_limit(name: str, value: Any) -> None:
    if value is not None:
        _check_seconds(name, value)
        if not value:
            raise ValueError(f"{name} must be longer than 0 seconds; None means as long as it takes")


def _size(name: str, value: Any) -> int:
    try:
        return parse_bytes(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} {error}") from None


def _check_factor(name: str, value: Any) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not (math.isfinite(value) and value >= 1):
        raise ValueError(f"{name} must be a finite factor of at least 1, not {value}")


def _check_set_up(name: str, value: Any) -> None:
    if not callable(value):
        raise TypeError(f"{name} must be a function that makes what each call is given, not {value!r}")
    try:
        inspect.signature(value).bind()
    except ValueError:
        pass  # a builtin that does not tell
    except TypeError as error:
        raise TypeError(
            f"{name} must be callable without arguments: {value!r} is {error}; see functools.partial"
        ) from None
    try:
        hash(value)
    except TypeError:
        raise TypeError(f"{name} must be hashable, as functions are, not {value!r}") from None


def _exception_classes(value: Any) -> tuple[type[BaseException], ...]:
    classes = tuple(value) if isinstance(value, Iterable) and not isinstance(value, (str, type)) else (value,)
    for each in classes:
        if not (isinstance(each, type) and issubclass(each, BaseException)):
            raise TypeError(f"retry_on must be exception classes, such as (OSError, TimeoutError), not {each!r}")
    if not classes:
        raise ValueError("retry_on must name at least one exception class; for no further attempts set retries=0")
    return classes
