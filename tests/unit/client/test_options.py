"""Options: bad ones are refused at once, in words."""

import time
from functools import partial
from typing import Any

import pytest

from manyhands.client.options import Options


class Unhashable(list[int]):
    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"retries": -1}, ValueError, "retries must lie between 0 and"),
        ({"retries": 1.5}, TypeError, "retries must be a whole number, not 1.5"),
        ({"retries": True}, TypeError, "retries must be a whole number"),
        ({"retry_delay": -0.1}, ValueError, "retry_delay must lie between 0 and"),
        ({"retry_delay": float("nan")}, ValueError, "retry_delay"),
        ({"retry_delay": "1"}, TypeError, "retry_delay must be a number of seconds, not '1'"),
        ({"retry_backoff": 0.5}, ValueError, "retry_backoff must be a finite factor of at least 1"),
        ({"retry_backoff": None}, TypeError, "retry_backoff must be a number"),
        ({"retry_delay_max": float("inf")}, ValueError, "retry_delay_max"),
        ({"timeout": 0}, ValueError, "None means as long as it takes"),
        ({"timeout": "5s"}, TypeError, "timeout must be a number of seconds"),
        ({"memory": 1.5}, TypeError, 'memory must be a size such as "4GiB"'),
        ({"memory": True}, TypeError, "memory must be a size"),
        ({"memory": "4 gigs"}, ValueError, "memory must be a size such as"),
        ({"memory": 0}, ValueError, "memory must be at least 1 byte"),
        ({"retry_on": ValueError("x")}, TypeError, "retry_on must be exception classes"),
        ({"retry_on": (OSError, 3)}, TypeError, "not 3"),
        ({"retry_on": "OSError"}, TypeError, "retry_on must be exception classes"),
        ({"retry_on": ()}, ValueError, "for no further attempts set retries=0"),
        ({"priority": 1 << 40}, ValueError, "priority must lie between"),
        ({"max_parallel": 0}, ValueError, "max_parallel must lie between 1 and"),
        ({"speculate": 1}, TypeError, "speculate must be True or False, not 1"),
        ({"context": 3}, TypeError, "context must be a function that makes what each call is given, not 3"),
        ({"context": abs}, TypeError, "context must be callable without arguments"),
        ({"context": lambda path: path}, TypeError, "missing a required argument: 'path'; see functools.partial"),
        ({"context": Unhashable()}, TypeError, "context must be hashable"),
        ({"name": 3}, TypeError, "name must be a string, not 3"),
        ({"retrys": 3}, TypeError, "no option retrys: did you mean retries?"),
        ({"wishes": 3}, TypeError, "there are retries, retry_delay,"),
    ],
)
def test_bad_options_are_explained(options: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words.replace("?", r"\?")):
        Options().changed(options)


@pytest.mark.parametrize("context", [dict, lambda path="/": path, partial(open, "/dev/null"), time.monotonic, None])
def test_what_can_make_a_context(context: Any) -> None:
    assert Options().changed({"context": context}).context is context


def test_sizes_are_read_once() -> None:
    assert Options().changed({"memory": "1.5 GiB"}) == Options(memory=3 << 29)


def test_options_build_on_one_another() -> None:
    options = Options().changed({"retries": 3, "retry_on": OSError}).changed({"priority": -2})
    assert (options.retries, options.retry_on, options.priority) == (3, (OSError,), -2)
    assert options == Options(retries=3, retry_on=[OSError], priority=-2)  # type: ignore[arg-type]
    assert hash(options) == hash(Options(retries=3, retry_on=(OSError,), priority=-2))
