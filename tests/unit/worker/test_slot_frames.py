"""Frames between agent and slot: what is written is read, however the pipe cuts it; rubbish is told from it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import hashed

from manyhands.worker import slot_frames as frames
from manyhands.worker.reports import CutDone, Done, Failed, Ready, Saved, Stored, Wanted
from manyhands.worker.slot_frames import Chunk, FrameCutter, FrameError

CHUNK = Chunk(
    position=1 << 40,
    count=2,
    name="sums \u00b5",
    job=7,
    first=1 << 41,
    attempt=3,
    call=2,
    function=hashed("f"),
    retry_on=hashed("r"),
    context=hashed("c"),
    keep_bytes=1 << 33,
    keep_as=b"",
    definitions=(hashed("a"), hashed("b")),
    base=5,
    ends=frames.pack_offsets([8, 9]),
    payload=b"four",
)

REPORTS = [
    (frames.write_ready(), Ready()),
    (
        frames.write_done(9, 2, 4, frames.pack_offsets([5, 7]), b"abc", 0.25),
        Done(9, 2, 4, frames.pack_offsets([5, 7]), b"abc", 0.25),
    ),
    (frames.write_failed(10, b"error", True, 0.5), Failed(10, b"error", True, 0.5)),
    (frames.write_wanted([hashed("a"), hashed("b")]), Wanted((hashed("a"), hashed("b")))),
    (frames.write_cut_done(11), CutDone(11)),
    (frames.write_saved(12, b"state"), Saved(12, b"state")),
    (frames.write_stored(13, hashed("d"), 1 << 34), Stored(13, hashed("d"), 1 << 34)),
]


@pytest.mark.parametrize("function", [b"", hashed("f")])
@pytest.mark.parametrize("retry_on", [b"", hashed("r")])
@pytest.mark.parametrize("context", [b"", hashed("c")])
@pytest.mark.parametrize("payload", [b"", b"four", b"m" * (1 << 20)])
@pytest.mark.parametrize("definitions", [(), (hashed("a"), hashed("b"))])
def test_chunks(
    function: bytes, retry_on: bytes, context: bytes, payload: bytes, definitions: tuple[bytes, ...]
) -> None:
    chunk = replace(
        CHUNK, function=function, retry_on=retry_on, context=context, payload=payload, definitions=definitions
    )
    ((kind, body),) = FrameCutter().feed(b"".join(frames.write_chunk(chunk)))
    assert kind == frames.CHUNK
    assert frames.read_chunk(body) == chunk
    assert list(frames.unpack_offsets(chunk.ends)) == [8, 9]


def test_a_chunk_after_its_first_task() -> None:
    rest = replace(CHUNK, count=3, ends=frames.pack_offsets([6, 6, 9]), payload=b"four").after_first()
    assert rest == replace(
        CHUNK,
        position=CHUNK.position + 1,
        first=CHUNK.first + 1,
        base=6,
        ends=frames.pack_offsets([6, 9]),
        payload=b"our",
    )
    last = rest.after_first()
    assert (last.count, last.base, last.payload) == (1, 6, b"our")
    none = last.after_first()
    assert (none.count, none.ends, none.payload, none.position) == (0, b"", b"", CHUNK.position + 3)


def test_what_else_the_agent_writes() -> None:
    written = [
        *frames.write_define(hashed("f"), b"blob"),
        *frames.write_cut(1 << 50),
        *frames.write_state(7, b"so far"),
        *frames.write_store(b"prefix 8", "/dev/shm/\udcff"),
    ]
    (define, blob), (cut, position), (state, saved), (store, path) = FrameCutter().feed(b"".join(written))
    assert (store, frames.read_store(path)) == (frames.STORE, (b"prefix 8", "/dev/shm/\udcff"))
    assert (state, frames.read_state(saved)) == (frames.STATE, (7, b"so far"))
    assert (define, frames.read_define(blob)) == (frames.DEFINE, (hashed("f"), b"blob"))
    assert (cut, frames.read_cut(position)) == (frames.CUT, 1 << 50)


@given(
    order=st.lists(st.integers(0, len(REPORTS) - 1), max_size=8),
    cuts=st.lists(st.integers(0, 400), max_size=30),
)
def test_any_cutting_of_the_stream(order: list[int], cuts: list[int]) -> None:
    stream = b"".join(REPORTS[which][0] for which in order)
    bounds = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    cutter = FrameCutter()
    read = []
    for start, end in itertools.pairwise(bounds):
        read += [frames.read_report(kind, body) for kind, body in cutter.feed(stream[start:end])]
        assert cutter.missing >= 0
    assert read == [REPORTS[which][1] for which in order]
    assert cutter.feed(b"") == []


def test_missing_tells_how_much_to_read() -> None:
    frame = REPORTS[1][0]
    cutter = FrameCutter()
    cutter.feed(frame[:20])
    assert cutter.missing == len(frame) - 20
    cutter.feed(frame[20:30])
    assert cutter.missing == len(frame) - 30
    cutter.feed(frame[30:])
    assert cutter.missing == 9  # the next one's head


@pytest.mark.parametrize(
    "rubbish",
    [
        b"a line that user code printed into the pipe\n",
        bytes(9),
        (1 << 40).to_bytes(8, "little") + b"\x11",
        b"\xff" * 64,
    ],
)
def test_rubbish_is_no_frame_that_never_ends(rubbish: bytes) -> None:
    cutter = FrameCutter()
    cutter.feed(REPORTS[0][0])
    with pytest.raises(FrameError):
        cutter.feed(rubbish)


@pytest.mark.parametrize("which", range(1, len(REPORTS)))
def test_a_body_cut_short(which: int) -> None:
    ((kind, body),) = FrameCutter().feed(REPORTS[which][0])
    if kind == frames.WANTED:
        assert frames.read_report(kind, body[:15]) == Wanted((hashed("a")[:15],))  # nobody has that one
        return
    with pytest.raises(FrameError):
        frames.read_report(kind, body[:7])


def test_more_results_than_the_body_holds() -> None:
    ((kind, body),) = FrameCutter().feed(frames.write_done(1, 3, 0, frames.pack_offsets([1]), b"x", 0.0))
    with pytest.raises(FrameError, match="3 results do not fit"):
        frames.read_report(kind, body)


@pytest.mark.parametrize("kind", [0, frames.CHUNK, frames.CUT, 99])
def test_what_a_slot_does_not_say(kind: int) -> None:
    with pytest.raises(FrameError, match=f"kind {kind} are unknown"):
        frames.read_report(kind, memoryview(b""))


@given(st.integers(0, 255), st.binary(max_size=80))
def test_rubbish_in_a_frame_of_ours_raises_nothing_else(kind: int, body: bytes) -> None:
    try:
        frames.read_report(kind, memoryview(body))
    except FrameError:
        return
    assert kind in {
        frames.READY, frames.DONE, frames.FAILED, frames.WANTED, frames.CUT_DONE, frames.INTERRUPTED, frames.SAVED,
        frames.STORED,
    }  # fmt: skip
