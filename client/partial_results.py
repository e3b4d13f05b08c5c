"""Exceptions among results: as themselves, or sorted out from them by `fault_tolerant_map`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Generic, NamedTuple, Self, TypeVar

T = TypeVar("T")


def as_result(exception: BaseException) -> BaseException:
    """For `return_exceptions`: an exception stands for itself."""
    return exception


class Failed(NamedTuple):
    """Stands for an exception where a task may also have returned one."""

    exception: BaseException


class TaskFailure(NamedTuple):
    """A task without a result, and why."""

    index: int  # type: ignore[assignment]  # hides a tuple's method that nobody calls on this one
    item: Any
    exception: BaseException


class PartialResults(NamedTuple, Generic[T]):
    """`results, failures = client.fault_tolerant_map(...)`."""

    #: One for each input, in their order; None where the task failed.
    results: list[T | None]
    #: In the order of the inputs.
    failures: list[TaskFailure]

    @classmethod
    def of(cls, outcomes: Iterable[Any], inputs: Sequence[Sequence[Any]]) -> Self:
        """Sort out what was returned and what `Failed`; `inputs` are the iterables of the call."""
        results: list[T | None] = []
        failures: list[TaskFailure] = []
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, Failed):
                items = tuple([each[index] for each in inputs])
                failures.append(TaskFailure(index, items[0] if len(items) == 1 else items, outcome.exception))
                results.append(None)
            else:
                results.append(outcome)
        return cls(results, failures)
