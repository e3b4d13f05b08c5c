"""When a full disk explains that new work was refused, and when not."""

from tests.chaos.checker import Circumstances, check
from tests.chaos.history import Ended, Event, Invoked, Left
from tests.chaos.monkey import Struck, Victim
from tests.chaos.plan import Fault, Kind
from tests.chaos.refusals import SLACK, refusals


def struck(kind: Kind, target: str, began: float, healed: float) -> Struck:
    return Struck(Fault(began, kind, target, healed - began, "both", 0.5), began, healed, Victim())


FULL = struck(Kind.FULL_DISK, "master", 50.0, 52.0)


def test_disturbances_of_the_clients_own_way_stretch_the_time() -> None:
    assert refusals("client-0.2", []) == []
    assert refusals("client-0.2", [FULL]) == [(50.0 - SLACK, 52.0 + SLACK)]
    own = struck(Kind.STALL, "client-0", 40.0, 49.0)
    before = struck(Kind.STOP_MASTER, "master", 42.0, 45.0)
    others = struck(Kind.STALL, "client-1", 10.0, 49.0)
    over = struck(Kind.STALL, "client-0", 1.0, 20.0)
    assert refusals("client-0.2", [over, before, own, others, FULL]) == [(40.0 - SLACK, 52.0 + SLACK)]


def test_only_refusals_in_that_time_are_explained() -> None:
    def found(at: float, text: str) -> list[str]:
        events: list[Event] = [Invoked(at, "t", "quick"), Ended(60.0, "t", "raised", "SessionLost", text), Left(61.0)]
        around = Circumstances(100.0, refused={"c": [(47.0, 55.0)]})
        return [violation.kind for violation in check({"c": events}, around)]

    assert found(50.0, "the master has no room for it") == []
    assert found(40.0, "the master has no room for it") == ["unexplained"]
    assert found(50.0, "forgotten") == ["unexplained"]
