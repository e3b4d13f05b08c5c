"""The verdict on a soak: what is left at the end, and growth, are found."""

from dataclasses import replace

import pytest
from tests.soak.report import DEFINITIONS, JOURNAL_BYTES, Remains, Report, Sample, as_text

MB = 1_000_000
FIRST = Sample(
    tasks=1_000_000, tasks_per_second=1000.0,
    master_bytes=40 * MB, agent_bytes=20 * MB, client_bytes=30 * MB, journal_bytes=5 * MB,
)  # fmt: skip
LAST = replace(FIRST, tasks=10_000_000)
REST = Remains(
    jobs=0, clients=0, outstanding={"steady": 0, "replaced-9": 0},
    rows={"master": 2, "workers": 2, "definitions": 26, "jobs": 0, "blocks": 0},
)  # fmt: skip
PASSED = Report(
    seed=1, samples=[FIRST, LAST], remains=REST, drained=3, killed=2, clients=9, clients_killed=1, complaints=[]
)  # fmt: skip


def test_nothing_left_and_nothing_grown_passes() -> None:
    assert PASSED.violations() == []
    assert as_text(PASSED).splitlines()[-1] == "passed"


@pytest.mark.parametrize("name", ["master", "agent", "client"])
def test_growth_beyond_a_twentieth_is_found(name: str) -> None:
    field = f"{name}_bytes"
    before = getattr(FIRST, field)
    within = replace(PASSED, samples=[FIRST, replace(LAST, **{field: int(before * 1.049)})])
    beyond = replace(PASSED, samples=[FIRST, replace(LAST, **{field: int(before * 1.06)})])
    assert within.violations() == []
    (found,) = beyond.violations()
    assert found == f"the {name}'s memory grew by 6.0% from 1,000,000 to 10,000,000 tasks"


def test_what_the_first_million_tasks_take_is_not_held_against_them() -> None:
    cold = replace(FIRST, tasks=999_999, master_bytes=20 * MB)
    assert replace(PASSED, samples=[cold, FIRST, LAST]).violations() == []
    assert replace(PASSED, samples=[cold, FIRST]).judged is None


def test_less_memory_than_before_is_no_fault() -> None:
    shrunk = replace(PASSED, samples=[FIRST, replace(LAST, master_bytes=20 * MB)])
    assert shrunk.violations() == []


@pytest.mark.parametrize(
    ("remains", "what"),
    [
        (replace(REST, jobs=1), "1 jobs and 0 clients"),
        (replace(REST, clients=2), "0 jobs and 2 clients"),
        (replace(REST, outstanding={"steady": 0}), "two idle workers"),
        (replace(REST, outstanding={"steady": 0, "replaced-9": 1}), "two idle workers"),
        (replace(REST, rows={**REST.rows, "blocks": 1}), "blocks has 1 rows"),
        (replace(REST, rows={**REST.rows, "workers": 3}), "workers has 3 rows"),
        (replace(REST, rows={**REST.rows, "definitions": DEFINITIONS + 1}), "definitions has"),
    ],
)
def test_what_is_left_is_found(remains: Remains, what: str) -> None:
    (found,) = replace(PASSED, remains=remains).violations()
    assert what in found


def test_a_journal_that_stays_large_is_found() -> None:
    large = replace(PASSED, samples=[replace(FIRST, journal_bytes=JOURNAL_BYTES + 1), LAST])
    assert large.violations() == ["the journal took 67 MB while no task was open"]


def test_a_soak_without_an_end_does_not_pass() -> None:
    assert replace(PASSED, remains=None).violations() == ["it did not come to its end"]
    stuck = replace(PASSED, remains=None, complaints=["no task has ended"])
    assert stuck.violations() == ["no task has ended"]
