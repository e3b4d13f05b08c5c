"""What slots print: tagged lines, whatever the bytes; a limit on how many; a terminal that hangs."""

from __future__ import annotations

import io
import threading

from hypothesis import given
from hypothesis import strategies as st

from manyhands.worker.output import BACKLOG_LINES, LINE_BYTES, TAIL_LINES, LineTagger, OutputStream, RateLimit


def every(count: int) -> int:
    return count


def test_lines_are_tagged_when_complete() -> None:
    tagger = LineTagger("[w/0]")
    assert tagger.feed(b"one\ntw", every) == [b"[w/0] one\n"]
    assert tagger.feed(b"o", every) == []
    assert tagger.feed(b"\n\nthree", every) == [b"[w/0] two\n", b"[w/0] \n"]
    assert tagger.finish(every) == [b"[w/0] three\n"]
    assert tagger.finish(every) == []
    assert tagger.tail_text() == "one\ntwo\n\nthree"


def test_without_a_tag() -> None:
    assert LineTagger("").feed(b"one\n", every) == [b"one\n"]


def test_a_line_without_end_is_cut() -> None:
    tagger = LineTagger("t")
    lines = tagger.feed(b"x" * (2 * LINE_BYTES + 1), every)
    assert lines == [b"t " + b"x" * LINE_BYTES + b"\n"] * 2
    assert tagger.finish(every) == [b"t x\n"]
    assert tagger.feed(b"y" * (LINE_BYTES + 1) + b"\n\nz", every) == [
        b"t " + b"y" * LINE_BYTES + b"\n",
        b"t y\n",
        b"t \n",
    ]
    assert tagger.feed(b"z" * LINE_BYTES, every) == [b"t " + b"z" * LINE_BYTES + b"\n"]
    assert tagger.finish(every) == [b"t z\n"]


@given(st.lists(st.binary(max_size=20)))
def test_any_bytes_in_any_pieces(pieces: list[bytes]) -> None:
    tagger = LineTagger("")
    out = b"".join(b"".join(tagger.feed(piece, every)) for piece in pieces) + b"".join(tagger.finish(every))
    data = b"".join(pieces)
    assert out == data + (b"\n" if data and not data.endswith(b"\n") else b"")
    assert len(tagger.tail) <= TAIL_LINES
    assert isinstance(tagger.tail_text(), str)


def test_what_does_not_pass_is_in_the_tail_all_the_same() -> None:
    tagger = LineTagger("")
    assert tagger.feed(b"".join(b"%d\n" % k for k in range(100)), lambda count: 2) == [b"0\n", b"1\n"]
    assert tagger.tail_text().split("\n") == [str(k) for k in range(100 - TAIL_LINES, 100)]


def test_rate() -> None:
    limit = RateLimit(rate=10.0, burst=20.0)
    assert limit.admit(15, 100.0) == 15
    assert limit.admit(15, 100.0) == 5
    assert limit.admit(15, 100.0) == 0
    assert limit.admit(15, 101.0) == 10
    limit.drop(7)
    assert limit.take_dropped() == 10 + 15 + 5 + 7
    assert limit.take_dropped() == 0
    assert limit.admit(100, 1000.0) == 20


def test_lines_that_were_dropped_are_counted() -> None:
    target = io.BytesIO()
    stream = OutputStream(target, "test")
    stream.limit.drop(3)
    stream.put([b"one\n"])
    stream.limit.drop(1)
    stream.close(10.0)
    assert target.getvalue() == b"... 3 lines dropped\none\n... 1 lines dropped\n"


class Stuck(io.BytesIO):
    """A terminal that was stopped until `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs = threading.Event()
        self.go = threading.Event()

    def write(self, data: bytes) -> int:
        self.hangs.set()
        self.go.wait(10)
        return super().write(data)


def test_a_terminal_that_hangs_holds_up_nobody() -> None:
    target = Stuck()
    stream = OutputStream(target, "test")
    stream.put([b"line\n"])
    assert target.hangs.wait(10)
    for _ in range(6):
        stream.put([b"line\n"] * 1000)
    stream.close(0.0)
    assert stream.limit.take_dropped() == 6000 - BACKLOG_LINES
    target.go.set()
    stream._thread.join(0.0)


def test_a_terminal_that_is_gone() -> None:
    target = io.BytesIO()
    target.close()
    stream = OutputStream(target, "test")
    stream.put([b"line\n"])
    stream._thread.join(10.0)
    assert not stream._thread.is_alive()
    stream.put([b"line\n"])
    stream.close(0.0)
