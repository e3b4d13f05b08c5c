"""The plan of a chaos run: a seed gives it back, every kind comes up, and every fault ends."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from tests.chaos.plan import HEARTBEAT_TIMEOUT, LINK_FAULTS, Kind, make_plan

WORKERS, CLIENTS = ("w0", "w1"), ("c0", "c1", "c2")


def plan_of(seed: int, seconds: float) -> list:
    return make_plan(seed, seconds, WORKERS, CLIENTS, list(Kind))


def test_five_minutes_bring_more_than_twenty_of_each_kind() -> None:
    assert Counter(fault.kind for fault in plan_of(1, 300.0)) == dict.fromkeys(Kind, 22)


@given(st.integers(), st.floats(1.0, 100.0))
def test_faults_are_bounded_and_reproduced(seed: int, seconds: float) -> None:
    faults = plan_of(seed, seconds)
    assert faults == plan_of(seed, seconds)
    assert {fault.kind for fault in faults} == set(Kind)
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    for fault in faults:
        assert 0 <= fault.at <= seconds
        assert 0 < fault.duration <= 1.3 * HEARTBEAT_TIMEOUT
        if fault.kind in LINK_FAULTS:
            assert fault.target in WORKERS + CLIENTS
        elif fault.kind.endswith("client"):
            assert fault.target in CLIENTS
        elif fault.kind.endswith(("agent", "slot")):
            assert fault.target in WORKERS
        else:
            assert fault.target == "master"


def test_seeds_differ_and_some_silences_outlast_the_heartbeat_timeout() -> None:
    assert plan_of(1, 300.0) != plan_of(2, 300.0)
    longest = {
        kind: max(fault.duration for fault in plan_of(1, 600.0) if fault.kind is kind)
        for kind in (Kind.STOP_AGENT, Kind.STOP_CLIENT, Kind.STALL)
    }
    assert min(longest.values()) > HEARTBEAT_TIMEOUT
