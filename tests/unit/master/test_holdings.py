"""What clients hold, and wait for: counted as it should be after whatever they do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from manyhands.master import holdings
from manyhands.master.data import Datum
from manyhands.master.holdings import Holdings


def datum(name: bytes, size: int) -> Datum:
    made = Datum(name)
    made.size = size
    return made


def test_too_many_bytes_are_told() -> None:
    held = Holdings(100)
    a, b = datum(b"a", 60), datum(b"b", 60)
    assert held.add(1, a)
    assert not held.add(1, a)
    assert held.add(2, b)
    assert held.fault(1) == held.fault(2) == ""
    held.add(1, b)
    assert held.fault(1) == "this client holds 120 B of data, and may hold 100 B"
    assert held.remove(1, b"a") is a
    assert held.fault(1) == ""
    assert held.holders(b"b") == [1, 2]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(holdings, "CLIENT_DATA", 2)
    return 2


def test_too_many_are_told(few: int) -> None:
    held = Holdings(100)
    for name in (b"a", b"b", b"c"):
        held.add(1, datum(name, 1))
    assert held.fault(1) == "this client holds 3 data, and may hold 2: put many small ones as one"


def test_what_is_waited_for_does_not_count() -> None:
    held = Holdings(100)
    a = datum(b"a", 200)
    held.add(1, a)
    held.wait(1, a)
    held.wait(1, a)
    assert held.is_awaited(b"a")
    assert held.fault(1) == ""
    assert held.end_wait(a) == [1]
    assert held.fault(1)
    assert not held.is_awaited(b"a")
    held.wait(1, a)
    assert held.remove_all(1) == [a]
    assert not held.is_awaited(b"a")


class HoldingsMachine(RuleBasedStateMachine):
    """Two clients and three data."""

    def __init__(self) -> None:
        super().__init__()
        self.holdings = Holdings(1000)
        self.data = [datum(bytes([number]), 10**number) for number in range(3)]

    @rule(client=st.integers(1, 2), which=st.integers(0, 2))
    def add(self, client: int, which: int) -> None:
        self.holdings.add(client, self.data[which])

    @rule(client=st.integers(1, 2), which=st.integers(0, 2))
    def remove(self, client: int, which: int) -> None:
        self.holdings.remove(client, self.data[which].id)

    @rule(client=st.integers(1, 2), which=st.integers(0, 2))
    def wait(self, client: int, which: int) -> None:
        if self.holdings.find(client, self.data[which].id) is not None:
            self.holdings.wait(client, self.data[which])

    @rule(which=st.integers(0, 2))
    def end_wait(self, which: int) -> None:
        self.holdings.end_wait(self.data[which])

    @rule(client=st.integers(1, 2))
    def leave(self, client: int) -> None:
        self.holdings.remove_all(client)

    @invariant()
    def counts(self) -> None:
        self.holdings.check_invariants()


TestHoldings = HoldingsMachine.TestCase
