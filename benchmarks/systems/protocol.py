"""Owns the one shape that every measured system takes, so that each measure is written once."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

Function = Callable[..., object]


class System(Protocol):
    """A pool of two slots. `start` returns when work can run; `stop` returns when every process is gone."""

    name: str

    def start(self) -> None: ...

    def submit(self, function: Function, *arguments: object) -> object:
        """A handle for `gather`; does not wait for the task."""
        ...

    def gather(self, handles: Sequence[object]) -> list[object]:
        """The results in the order of the handles, fetched the way this system's users do it."""
        ...

    def map(self, function: Function, items: Iterable[object], *, chunksize: int | None = None) -> Iterator[object]:
        """Ordered results. None is the system's default; a system without chunks ignores the argument."""
        ...

    def stop(self) -> None: ...


class DataSystem(System, Protocol):
    """One that keeps data for its tasks."""

    def share(self, value: object) -> object:
        """A handle that `submit` takes as an argument in place of the value; the data go with it."""
        ...

    def count_words(self, paths: Sequence[str]) -> Mapping[str, int]:
        """How often each word occurs in these files: the reduction by key that this system's users write."""
        ...

    def count_words_by_counters(self, paths: Sequence[str]) -> Mapping[str, int]:
        """The same, the user's function counting the words of a file itself."""
        ...
