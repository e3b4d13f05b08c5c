"""Every message a peer may send: as it should be, and each field wrong in ways that only a broken peer sends."""

from __future__ import annotations

import math
import struct
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.builders import hashed, packed

from manyhands.master.validation import SLOTS_MAX, TEXT_LENGTH_MAX, check, check_hello
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.bounds import COUNT_MAX, NAME_LENGTH_MAX, SECONDS_MAX
from manyhands.wire.segments import PARTITIONS_MAX
from manyhands.wire.session import ProtocolError

HASH = hashed("f")
ENDS, PAYLOAD = packed([b"a", b"", b"bcd"])
RANGES = [pb.Range(lo=0, hi=2), pb.Range(lo=2, hi=9), pb.Range(lo=12, hi=13)]

#: Each as a peer that is whole sends it.
SOUND: dict[str, Any] = {
    "define": pb.Define(hash=HASH, blob=b"blob"),
    "open_job": pb.OpenJob(
        job=COUNT_MAX,
        name="größer 寿司",
        priority=-5,
        retry=pb.Retry(retries=(1 << 32) - 1, delay=0.0, backoff=1e300, delay_max=SECONDS_MAX, retry_on=HASH),
        total_timeout=SECONDS_MAX,
        memory_bytes=(1 << 64) - 1,
        context=HASH,
        definitions=[hashed("g"), HASH],
    ),
    "block": pb.Block(
        job=1, first=7, ends=ENDS, payload=PAYLOAD, function=HASH, call=pb.CALL_STAR, definitions=[hashed("g"), HASH]
    ),
    "seal_job": pb.SealJob(job=1, total=COUNT_MAX),
    "cancel": pb.Cancel(job=1, ranges=RANGES),
    "consumed": pb.Consumed(job=1, bytes=COUNT_MAX),
    "attach_job": pb.AttachJob(job=1, name="nightly", results=pb.AttachJob.RESULTS_COMPLETED),
    "leave_job": pb.LeaveJob(job=1),
    "watch": pb.Watch(job=1),
    "close_session": pb.CloseSession(reason="\x1b[2J is read by nobody"),
    "want": pb.Want(hashes=[HASH, hashed("g")]),
    "results": pb.Results(job=1, lease=2, first=7, ends=ENDS, payload=PAYLOAD, seconds=0.5),
    "failure": pb.Failure(job=1, lease=2, index=7, kind=pb.Failure.KIND_TIMED_OUT, text="on w\n", timeout=1.5),
    "crash": pb.Crash(job=1, lease=2, index=7, report=pb.CrashReport(exit_code=-9, stderr_tail="a\nb", seconds=0.1)),
    "returned": pb.Returned(revoke=(1 << 64) - 1, lease=2, ranges=RANGES),
    "held": pb.Held(leases=[pb.HeldLease(lease=2, job=1, ranges=RANGES), pb.HeldLease(lease=3, job=1)]),
    "saved_state": pb.SavedState(job=1, lease=2, index=7, attempt=(1 << 32) - 1, state=b"s"),
    "draining": pb.Draining(),
}

BEYOND = [COUNT_MAX + 1, (1 << 64) - 1]
DURATIONS = [math.nan, math.inf, -math.inf, -1e-9, SECONDS_MAX * 1.001, 1e300]
NAMES = ["\x1b[2J", "a\nb", "\0", "\u202egpj.exe", "x" * (NAME_LENGTH_MAX + 1)]
HASHES = [b"", HASH[:15], HASH + b"x", bytes(1 << 20)]
ENDINGS = [
    b"",
    ENDS[:-1],  # not whole
    ENDS + b"\0",
    ENDS[:-4],  # short of the payload
    ENDS + struct.pack("<I", 5),  # beyond it
    struct.pack("<III", 3, 1, 4),  # backwards
    struct.pack("<III", 1, 9, 4),
    struct.pack("<III", (1 << 32) - 1, 1, 4),
]
ORDERS = [
    [pb.Range(lo=3, hi=3)],
    [pb.Range(lo=3, hi=1)],
    [pb.Range(lo=3, hi=5), pb.Range(lo=4, hi=6)],
    [pb.Range(lo=3, hi=5), pb.Range(lo=3, hi=5)],
    [pb.Range(lo=3, hi=5), pb.Range(lo=0, hi=1)],
    [pb.Range(lo=0, hi=COUNT_MAX + 1)],
    [pb.Range(lo=COUNT_MAX, hi=(1 << 64) - 1)],
]

#: kind, the field's path, and what it must not be.
WRONG: list[tuple[str, str, list[Any]]] = [
    *[(kind, "job", BEYOND) for kind in ("open_job", "block", "seal_job", "cancel", "consumed", "attach_job")],
    *[(kind, "job", BEYOND) for kind in ("leave_job", "watch")],
    ("define", "hash", HASHES),
    ("open_job", "name", NAMES),
    *[("open_job", f"{limit}timeout", DURATIONS) for limit in ("", "total_", "queue_", "progress_")],
    ("open_job", "retry.delay", DURATIONS),
    ("open_job", "retry.delay_max", DURATIONS),
    ("open_job", "retry.backoff", [math.nan, math.inf, -1.0]),
    ("open_job", "retry.retry_on", HASHES[1:]),
    ("open_job", "context", HASHES[1:]),
    ("open_job", "definitions", [[each] for each in HASHES]),
    ("block", "first", [*BEYOND, COUNT_MAX - 2, (1 << 64) - 3]),
    ("block", "base", [1, (1 << 32) - 1]),
    ("block", "ends", ENDINGS),
    ("block", "payload", [b"", PAYLOAD[:-1], PAYLOAD + b"x"]),
    ("block", "function", HASHES),
    ("block", "call", [pb.CALL_UNSPECIFIED, pb.CALL_APPLY, 6, -1, (1 << 31) - 1]),  # APPLY with a function
    ("block", "definitions", [[each] for each in HASHES]),
    ("seal_job", "total", BEYOND),
    ("cancel", "ranges", ORDERS),
    ("consumed", "bytes", BEYOND),
    ("attach_job", "name", NAMES),
    ("attach_job", "results", [3, -1]),
    ("want", "hashes", [[HASH, HASH], *[[each] for each in HASHES]]),
    ("results", "first", [*BEYOND, COUNT_MAX - 2, (1 << 64) - 3]),
    ("results", "base", [1, (1 << 32) - 1]),
    ("results", "ends", ENDINGS),
    ("results", "payload", [b"", PAYLOAD[:-1], PAYLOAD + b"x"]),
    ("results", "seconds", DURATIONS),
    ("failure", "index", [*BEYOND, COUNT_MAX]),
    ("failure", "kind", [0, pb.Failure.KIND_CRASHED, pb.Failure.KIND_NO_ROOM, 6, -1]),
    ("failure", "kind", [pb.Failure.KIND_DATA_LOST]),  # without saying which
    ("failure", "end", [8, (1 << 64) - 1]),
    ("failure", "crashes", [[pb.CrashReport()]]),
    ("failure", "seconds", DURATIONS),
    ("failure", "timeout", DURATIONS),
    *[("failure", text, ["x" * (TEXT_LENGTH_MAX + 1)]) for text in ("text", "limit", "progress")],
    ("crash", "index", [*BEYOND, COUNT_MAX]),
    ("crash", "report.seconds", DURATIONS),
    ("crash", "report.worker_lost", [True]),
    *[("crash", f"report.{text}", ["x" * (TEXT_LENGTH_MAX + 1)]) for text in ("stderr_tail", "reason", "memory")],
    ("returned", "ranges", ORDERS),
    ("held", "leases", [[pb.HeldLease(lease=2), pb.HeldLease(lease=2)], *[[pb.HeldLease(ranges=r)] for r in ORDERS]]),
    ("saved_state", "index", [*BEYOND, COUNT_MAX]),
]


def put(message: Any, path: str, value: Any) -> None:
    *owners, name = path.split(".")
    for each in owners:
        message = getattr(message, each)
    if isinstance(value, list):
        del getattr(message, name)[:]
        getattr(message, name).extend(value)
    else:
        setattr(message, name, value)


def body_of(kind: str, message: Any) -> pb.Body:
    """As it arrives."""
    return pb.Body.FromString(pb.Body(**{kind: message}).SerializeToString())


@pytest.mark.parametrize("kind", SOUND)
def test_what_a_whole_peer_sends_passes(kind: str) -> None:
    check(kind, body_of(kind, SOUND[kind]))


def test_a_worker_may_miss_a_datum() -> None:
    lost = pb.Failure(job=1, lease=2, index=7, kind=pb.Failure.KIND_DATA_LOST, text="gone", data=bytes(16))
    check("failure", body_of("failure", lost))


@pytest.mark.parametrize("store", ["", *NAMES])
def test_a_store_has_a_name(store: str) -> None:
    with pytest.raises(ProtocolError, match=r"join_store\.store"):
        check("join_store", body_of("join_store", pb.JoinStore(store=store)))
    check("join_store", body_of("join_store", pb.JoinStore(store="w")))


@pytest.mark.parametrize("partitions", [0, PARTITIONS_MAX + 1])
def test_partitions_are_neither_none_nor_too_many(partitions: int) -> None:
    reduction = pb.Reduction(kind=pb.Reduction.KIND_BY_KEY, functions=HASH, partitions=partitions)
    with pytest.raises(ProtocolError, match="partitions"):
        check("open_job", body_of("open_job", pb.OpenJob(job=1, reduction=reduction)))
    reduction.partitions = 1
    check("open_job", body_of("open_job", pb.OpenJob(job=1, reduction=reduction)))


@pytest.mark.parametrize(("kind", "path", "values"), WRONG, ids=[f"{kind}.{path}" for kind, path, _ in WRONG])
def test_a_wrong_field_is_refused(kind: str, path: str, values: list[Any]) -> None:
    for value in values:
        message = deepcopy(SOUND[kind])
        put(message, path, value)
        with pytest.raises(ProtocolError) as caught:
            check(kind, body_of(kind, message))
        sentence = str(caught.value)
        assert path.partition(".")[2] in sentence or kind in sentence
        assert sentence.isprintable(), "it goes into logs"
        assert len(sentence) < 2000


offsets = st.lists(st.integers(0, 12), min_size=1, max_size=6)


@given(offsets, st.integers(0, 5), st.binary(max_size=12))
@example([0], 0, b"")
@example([0, 0], 0, b"")
def test_offsets_pass_exactly_if_they_cut_the_payload(ends: list[int], base: int, payload: bytes) -> None:
    cuts = [base, *ends]
    is_sound = cuts == sorted(cuts) and ends[-1] - base == len(payload)
    results = pb.Results(base=base, ends=struct.pack(f"<{len(ends)}I", *ends), payload=payload)
    block = pb.Block(base=base, ends=results.ends, payload=payload, call=pb.CALL_APPLY)
    for kind, message in (("results", results), ("block", block)):
        if is_sound:
            check(kind, body_of(kind, message))
        else:
            with pytest.raises(ProtocolError, match="offsets"):
                check(kind, body_of(kind, message))


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=5))
def test_ranges_pass_exactly_if_they_ascend(spans: list[tuple[int, int]]) -> None:
    bounds = [bound for span in spans for bound in span]
    is_sound = bounds == sorted(bounds) and all(lo < hi for lo, hi in spans)
    body = body_of("returned", pb.Returned(ranges=[pb.Range(lo=lo, hi=hi) for lo, hi in spans]))
    if is_sound:
        check("returned", body)
    else:
        with pytest.raises(ProtocolError, match="not in order"):
            check("returned", body)


@given(st.floats(allow_nan=True, allow_infinity=True))
@example(SECONDS_MAX)
@example(-0.0)
def test_durations_pass_exactly_if_something_can_take_so_long(seconds: float) -> None:
    body = body_of("open_job", pb.OpenJob(total_timeout=seconds))
    if 0.0 <= seconds <= SECONDS_MAX:
        check("open_job", body)
    else:
        with pytest.raises(ProtocolError, match="total_timeout"):
            check("open_job", body)


HELLO = pb.Hello(
    protocol=1,
    package_version="1",
    python_version="3.11.7",
    libraries={"numpy": "2.0"},
    session=bytes(16),
    role=pb.ROLE_WORKER,
    name="w-1",
    host="h",
    slots=SLOTS_MAX,
)


def test_a_whole_hello_passes() -> None:
    check_hello(HELLO)
    check_hello(pb.Hello(session=bytes(16), role=pb.ROLE_CLIENT))


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("role", [0, 3, -1]),
        ("session", [b"", bytes(15), bytes(17), bytes(1 << 20)]),
        ("slots", [0, SLOTS_MAX + 1, (1 << 32) - 1]),
        *[(name, NAMES) for name in ("name", "host", "package_version", "python_version")],
        ("secret", ["x" * 5000]),
    ],
)
def test_a_wrong_hello_is_refused(field: str, values: list[Any]) -> None:
    for value in values:
        hello = deepcopy(HELLO)
        put(hello, field, value)
        with pytest.raises(ProtocolError) as caught:
            check_hello(hello)
        assert str(caught.value).isprintable()
        assert "xxxx" not in str(caught.value), "no secret in a sentence that is logged"


@pytest.mark.parametrize("versions", [{"numpy": "\n"}, {"\n": "1"}, {str(n): "1" for n in range(1000)}])
def test_versions_are_few_and_short(versions: dict[str, str]) -> None:
    hello = deepcopy(HELLO)
    hello.libraries.update(versions)
    with pytest.raises(ProtocolError):
        check_hello(hello)
