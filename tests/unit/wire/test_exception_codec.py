"""Exceptions come back as themselves, with the traceback they had, whatever they are."""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from manyhands.wire.definitions import LoadedDefinitions
from manyhands.wire.errors import RemoteError, RemoteTraceback
from manyhands.wire.exception_codec import decode_exception, encode_exception
from manyhands.wire.local_modules import LocalModules
from manyhands.wire.pickling import Encoder
from manyhands.wire.registry import DefinitionRegistry

registry = DefinitionRegistry(LocalModules([str(Path(__file__).parent)]))
encoder = Encoder(registry)
loaded = LoadedDefinitions("here", origin=registry)


def there_and_back(error: BaseException) -> BaseException:
    data, needed = encode_exception(error, encoder, loaded)
    for hash in needed:
        assert registry.blob(hash)
    back = decode_exception(data, loaded)
    assert isinstance(back.__cause__, RemoteTraceback)
    return back


def raised(raiser: Callable[[], object]) -> BaseException:
    try:
        raiser()
    except BaseException as error:
        return error
    raise AssertionError


class KeywordOnly(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Composed(Exception):
    """Pickle would compose its message twice."""

    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")


class WithLock(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()
        self.kept = 1


class LockInArguments(Exception):
    pass


class Stubborn(Exception):
    def __new__(cls, first: int, second: int) -> Self:
        return super().__new__(cls, first, second)

    def __init__(self, first: int, second: int) -> None:
        super().__init__("only one")


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    "error",
    [
        ValueError("plain", 1),
        KeyError("key"),
        OSError(2, "No such file", "name"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
        SystemExit(3),
        KeyboardInterrupt(),
        StopIteration(4),
        ImportError("no", name="module"),
        KeywordOnly(code=3),
        Composed(3),
        RemoteError("a.B", "text"),
        ExceptionGroup("two", [ValueError(1), KeywordOnly(code=2)]),
        Mute(1),
    ],
    ids=lambda error: type(error).__name__,
)
def test_as_itself(error: BaseException) -> None:
    error.add_note("a note")
    back = there_and_back(error)
    assert type(back) is type(error)
    assert repr(back.args) == repr(error.args)
    assert repr(vars(back)) == repr(vars(error))
    assert back.__notes__ == ["a note"]
    if not isinstance(error, Mute):
        assert str(back) == str(error)


def test_what_cannot_be_pickled_stays_behind() -> None:
    back = there_and_back(WithLock("locked"))
    assert type(back) is WithLock
    assert back.args == ("locked",)
    assert vars(back) == {"kept": 1}


@pytest.mark.parametrize("error", [LockInArguments(threading.Lock()), Stubborn(1, 2)])
def test_stand_in(error: Exception) -> None:
    back = there_and_back(error)
    assert type(back) is RemoteError
    assert back.type_name == f"{__name__}.{type(error).__qualname__}"
    assert back.message == str(error)
    assert back.reason


def test_members_of_a_group_travel_each_in_its_best_way() -> None:
    inner = ExceptionGroup("inner", [Composed(3), LockInArguments(threading.Lock())])
    back = there_and_back(BaseExceptionGroup("outer", [inner, KeywordOnly(code=2), KeyboardInterrupt()]))
    assert type(back) is BaseExceptionGroup
    group, keyword_only, interrupt = back.exceptions
    assert (type(keyword_only), keyword_only.code, type(interrupt)) == (KeywordOnly, 2, KeyboardInterrupt)
    assert (type(group), group.message) == (ExceptionGroup, "inner")
    composed, stand_in = group.exceptions
    assert (type(composed), str(composed)) == (Composed, "code 3")
    assert type(stand_in) is RemoteError
    assert stand_in.type_name == f"{__name__}.LockInArguments"


def test_long_messages_are_told_in_short_but_arrive_whole() -> None:
    error = ValueError("first" + "x" * 1_000_000 + "last")
    data, _ = encode_exception(error, encoder, loaded)
    assert len(data) < 2_000_000
    back = decode_exception(data, loaded)
    assert str(back) == str(error)
    assert "characters left out" in str(back.__cause__)
    back = there_and_back(LockInArguments("first" + "x" * 1_000_000 + "last", threading.Lock()))
    assert back.message.startswith("('first")
    assert back.message[-100:].split("'")[0].endswith("last")
    assert len(back.message) < 300_000


def test_an_exception_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manyhands.wire.exception_codec._MAX_DATA", 1000)
    back = there_and_back(ValueError(b"x" * 1001))
    assert type(back) is RemoteError
    assert "bytes long when pickled" in back.reason


class Text(str):
    __slots__ = ()


class Strange(Exception):
    def __str__(self) -> str:
        return Text("strange")


def test_a_message_of_a_class_that_others_do_not_have() -> None:
    data, _ = encode_exception(Strange(threading.Lock()), encoder, loaded)
    links, _ = pickle.loads(data)
    assert type(links[0][1]) is str
    assert links[0][1] == "strange"


def fails_with_context() -> None:
    try:
        raise KeywordOnly(code=1)
    except KeywordOnly:
        socket.inet_aton("nonsense")


def fails_with_cause() -> None:
    try:
        fails_with_context()
    except OSError as error:
        raise LockInArguments(threading.Lock()) from error


def test_chains() -> None:
    back = there_and_back(raised(fails_with_cause))
    assert type(back) is RemoteError
    remote = back.__cause__
    assert isinstance(remote, RemoteTraceback)
    cause = remote.__cause__
    assert type(cause) is OSError
    assert back.__context__ is cause
    assert type(cause.__context__) is KeywordOnly
    assert cause.__cause__ is None
    text = str(remote)
    assert "in fails_with_cause" in text
    assert "in fails_with_context" in text
    assert text.index("KeywordOnly") < text.index("The above exception was the direct cause")


def test_chains_that_bite_their_tail() -> None:
    first, second = ValueError(1), ValueError(2)
    first.__cause__, second.__context__ = second, first
    back = there_and_back(first)
    assert isinstance(back.__cause__, RemoteTraceback)
    assert back.__cause__.__cause__.__context__ is back


def test_long_chains_are_cut() -> None:
    error = ValueError(0)
    for number in range(1, 100):
        error, error.__context__ = ValueError(number), error
    back: BaseException | None = there_and_back(error)
    length = 0
    while back is not None:
        back, length = back.__context__, length + 1
    assert length == 16


def test_a_class_that_is_missing_where_it_arrives() -> None:
    data, _ = encode_exception(KeywordOnly(code=3), encoder, loaded)
    back = decode_exception(data, LoadedDefinitions("elsewhere"))
    assert type(back) is RemoteError
    assert back.message == "code 3"
    assert "code 3" in str(back)


def test_the_frame_of_plain_bytes_needs_no_classes() -> None:
    data, _ = encode_exception(raised(fails_with_cause), encoder, loaded)
    links, text = pickle.loads(data)
    assert isinstance(text, str)
    assert all(type(value) in (str, bytes, int, bool, type(None)) for link in links for value in link)
