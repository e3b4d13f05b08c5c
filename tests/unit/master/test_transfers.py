"""The transfer planner: who is sent where, and that nobody waits for ever, whatever fails."""

from __future__ import annotations

from itertools import count

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from manyhands.master.transfer_commands import (
    Command,
    NobodyHas,
    PullToMaster,
    SendAdmit,
    SendHere,
    SendLost,
    SendSource,
)
from manyhands.master.transfer_limits import TransferLimits
from manyhands.master.transfer_sources import MASTER
from manyhands.master.transfers import TransferPlanner
from manyhands.wire.needs import Need

ID, OTHER = b"a" * 16, b"b" * 16
LARGE, SMALL = 100 << 20, 1000
LIMITS = TransferLimits(large=1, small=3, pulls=3, slow=2)


def tickets() -> TransferPlanner:
    """A planner whose tickets can be told apart."""
    numbers = count()
    return TransferPlanner(lambda: next(numbers).to_bytes(32, "big"), LIMITS)


def with_workers(*stores: str, kept: bytes = ID, size: int = LARGE) -> TransferPlanner:
    """Worker k uses the k-th of the stores; the master has a datum."""
    planner = tickets()
    for worker, store in enumerate(stores):
        assert planner.joined(worker, store, f"{store}:1", store.encode(), []) == []
    planner.known(kept, size)
    assert planner.stored(MASTER, kept) == []
    return planner


def test_a_host_that_got_it_serves_the_next() -> None:
    planner = with_workers("x", "y", "z")
    need = Need(ID)
    assert planner.locate(0, need) == [SendSource(0, need, LARGE)]
    assert planner.locate(1, need) == []  # the master serves one at a time
    assert planner.locate(2, need) == []
    ticket = bytes(32)
    served = [SendAdmit(0, ticket, ID), SendSource(1, need, LARGE, "x:1", b"x", ticket)]
    assert planner.here(0, need) == [*served, SendSource(2, need, LARGE)]
    planner.check_invariants()


def test_small_data_do_not_wait_for_large_ones() -> None:
    planner = with_workers("x", "y")
    planner.known(OTHER, SMALL)
    planner.stored(MASTER, OTHER)
    planner.locate(0, Need(ID))
    assert planner.locate(1, Need(ID)) == []
    assert planner.locate(1, Need(OTHER)) == [SendSource(1, Need(OTHER), SMALL)]
    piece = Need(ID, 5, SMALL)
    assert planner.locate(1, piece) == [SendSource(1, piece, LARGE)]


def test_a_host_takes_a_few_at_a_time() -> None:
    planner = with_workers("x")
    pieces = [Need(ID, k, 1) for k in range(LIMITS.pulls + 1)]
    for piece in pieces[:-1]:
        assert planner.locate(0, piece) == [SendSource(0, piece, LARGE)]
    assert planner.locate(0, pieces[-1]) == []
    assert planner.gave_up(0, pieces[0]) == [SendSource(0, pieces[-1], LARGE)]


def test_one_copy_comes_to_a_host() -> None:
    planner = with_workers("x", "x")
    need = Need(ID)
    assert planner.locate(0, need) == [SendSource(0, need, LARGE)]
    assert planner.locate(1, need) == []
    assert planner.here(0, need) == [SendHere(1, need)]
    assert planner.locate(1, Need(ID, 3, 4)) == [SendHere(1, Need(ID, 3, 4))]


def test_a_range_makes_no_source_but_serves_its_host() -> None:
    planner = with_workers("x", "x", "y")
    need = Need(ID, 0, SMALL)
    planner.locate(0, need)
    assert planner.locate(1, need) == []
    assert planner.here(0, need) == [SendHere(1, need)]
    assert planner.locate(2, need) == [SendSource(2, need, LARGE)]


def test_whoever_could_not_reach_a_host_is_served_by_the_master() -> None:
    planner = with_workers("x", "y")
    planner.locate(0, Need(ID))
    planner.here(0, Need(ID))
    piece = Need(ID, 0, SMALL)
    assert planner.locate(1, piece)[1] == SendSource(1, piece, LARGE, "x:1", b"x", bytes(32))
    assert planner.source_failed(1, piece, "x:1", 100.0) == [SendSource(1, piece, LARGE)]
    # Not what it needs besides, either, as long as that is remembered.
    other = Need(ID, 1, SMALL)
    assert planner.locate(1, other) == [SendSource(1, other, LARGE)]
    assert planner.next_deadline() == 100.0 + LIMITS.avoid_timeout
    assert planner.tick(100.0 + LIMITS.avoid_timeout) == []
    third = Need(ID, 2, SMALL)
    assert isinstance(planner.locate(1, third)[0], SendAdmit)


def test_a_slow_host_does_not_keep_others_waiting() -> None:
    planner = with_workers("x", "y", "z")
    need = Need(ID)
    planner.locate(0, need)
    assert planner.locate(1, need) == planner.locate(2, need) == []
    assert planner.next_deadline() == 1.0
    assert planner.tick(100.0) == []
    patience = 1.0 + LARGE / LIMITS.slow_bytes_per_second
    assert planner.next_deadline() == 101.0
    assert planner.tick(100.0 + 0.9 * patience) == []
    assert planner.tick(100.0 + patience) == [SendSource(1, need, LARGE)]
    planner.check_invariants()
    assert isinstance(planner.here(1, need)[0], SendAdmit)  # the next one gets it from there
    planner.here(0, need)
    planner.here(2, need)
    planner.check_invariants()
    assert planner.next_deadline() is None


def test_the_master_fetches_what_only_an_unreachable_worker_has() -> None:
    planner = tickets()
    planner.known(ID, LARGE)
    planner.joined(0, "x", "", b"", [ID])
    planner.joined(1, "y", "y:1", b"y", [])
    planner.joined(2, "z", "z:1", b"z", [])
    assert planner.locate(1, Need(ID)) == [PullToMaster(0, ID)]
    assert planner.locate(2, Need(ID)) == []
    assert planner.stored(MASTER, ID) == [SendSource(1, Need(ID), LARGE)]
    planner.check_invariants()


def test_a_datum_that_went_with_its_host_is_asked_for() -> None:
    planner = tickets()
    planner.known(ID, LARGE)
    planner.joined(0, "x", "", b"", [ID])
    planner.joined(1, "y", "y:1", b"y", [])
    assert planner.locate(1, Need(ID)) == [PullToMaster(0, ID)]
    assert planner.left(0) == [NobodyHas(ID)]
    assert planner.lost(ID, "its host is gone") == [SendLost(1, Need(ID), "its host is gone")]
    planner.check_invariants()


def test_a_master_without_it_is_not_asked_again() -> None:
    planner = with_workers("x")
    assert planner.locate(0, Need(ID)) == [SendSource(0, Need(ID), LARGE)]
    assert planner.source_failed(0, Need(ID), "", 0.0) == [NobodyHas(ID)]


def test_a_store_that_turns_out_to_lack_it_is_no_source() -> None:
    planner = with_workers("x")
    planner.stored("x", ID)
    assert planner.locate(0, Need(ID)) == [SendHere(0, Need(ID))]
    assert planner.source_failed(0, Need(ID), "", 0.0) == [SendSource(0, Need(ID), LARGE)]


def test_what_nobody_refers_to_is_lost() -> None:
    planner = with_workers("x")
    assert planner.dropped(ID) == []
    assert planner.locate(0, Need(ID)) == [SendLost(0, Need(ID), "nobody refers to it any more")]


def test_nobody_is_sent_for_bytes_beyond_the_end() -> None:
    planner = with_workers("x")
    assert isinstance(planner.locate(0, Need(ID, LARGE, 1))[0], SendLost)
    assert isinstance(planner.locate(0, Need(ID, LARGE - 1, 1))[0], SendSource)


STORES = ("u", "v", "w", "x")
IDS = tuple(bytes([k]) * 16 for k in range(3))
WORKERS = range(6)


class Transfers(RuleBasedStateMachine):
    """The planner amid whatever can happen; the world keeps to its side: each source it is sent to works or fails."""

    def __init__(self) -> None:
        super().__init__()
        self.planner = tickets()
        self.now = 0.0
        self.workers: dict[int, str] = {}
        self.addresses: dict[int, str] = {}
        self.stores: dict[str, set[bytes]] = {store: set() for store in (MASTER, *STORES)}
        self.sizes: dict[bytes, int] = {}
        self.asked: set[tuple[int, Need]] = set()  # and not answered
        self.sent: dict[tuple[int, Need], SendSource] = {}
        self.pulls: dict[bytes, int] = {}
        self.nowhere: set[bytes] = set()

    def do(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case SendSource():
                    key = command.worker, command.need
                    assert key in self.asked
                    assert key not in self.sent
                    assert command.address != self.addresses[command.worker] or not command.address
                    assert command.size == self.sizes[command.need.id]
                    if not command.address:
                        assert command.need.id in self.stores[MASTER]
                    self.sent[key] = command
                case SendHere():
                    self.asked.remove((command.worker, command.need))
                case SendLost():
                    self.asked.remove((command.worker, command.need))
                case SendAdmit():
                    assert command.id in self.stores[self.workers[command.worker]]
                case PullToMaster():
                    self.pulls[command.id] = command.worker
                case NobodyHas():
                    self.nowhere.add(command.id)

    @rule(
        worker=st.sampled_from(WORKERS),
        store=st.sampled_from(STORES),
        reachable=st.booleans(),
    )
    def join(self, worker: int, store: str, reachable: bool) -> None:
        if worker in self.workers:
            return
        self.workers[worker] = store
        self.addresses[worker] = f"{worker}" if reachable else ""
        ids = [id for id in sorted(self.stores[store]) if id in self.sizes]
        self.do(self.planner.joined(worker, store, self.addresses[worker], b"c", ids))

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(sorted(self.workers)))
        store = self.workers.pop(worker)
        self.asked = {key for key in self.asked if key[0] != worker}
        self.sent = {key: source for key, source in self.sent.items() if key[0] != worker}
        self.pulls = {id: other for id, other in self.pulls.items() if other != worker}
        if store not in self.workers.values():
            self.stores[store].clear()
        self.do(self.planner.left(worker))

    @rule(id=st.sampled_from(IDS), store=st.sampled_from((MASTER, *STORES)), large=st.booleans())
    def put(self, id: bytes, store: str, large: bool) -> None:
        if store == MASTER or store in self.workers.values():
            self.sizes.setdefault(id, LARGE if large else SMALL)
            self.planner.known(id, self.sizes[id])
            self.stores[store].add(id)
            self.nowhere.discard(id)
            self.do(self.planner.stored(store, id))

    @rule(id=st.sampled_from(IDS), gone=st.booleans())
    def drop(self, id: bytes, gone: bool) -> None:
        self.sizes.pop(id, None)
        self.nowhere.discard(id)
        self.pulls.pop(id, None)
        for ids in self.stores.values():
            ids.discard(id)
        self.do(self.planner.lost(id, "gone") if gone else self.planner.dropped(id))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), id=st.sampled_from(IDS), length=st.sampled_from([0, 0, 10]))
    def locate(self, data: st.DataObject, id: bytes, length: int) -> None:
        worker = data.draw(st.sampled_from(sorted(self.workers)))
        need = Need(id, 0, length)
        if (worker, need) not in self.asked:
            self.asked.add((worker, need))
            self.do(self.planner.locate(worker, need))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), works=st.booleans())
    def end_transfer(self, data: st.DataObject, works: bool) -> None:
        worker, need = key = data.draw(st.sampled_from(sorted(self.sent)))
        source = self.sent.pop(key)
        if works:
            self.asked.remove(key)
            if need.is_whole and need.id in self.sizes:
                self.stores[self.workers[worker]].add(need.id)
            self.do(self.planner.here(worker, need))
        else:
            if not source.address:
                self.stores[MASTER].discard(need.id)
            self.do(self.planner.source_failed(worker, need, source.address, self.now))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.sent)))
        del self.sent[key]
        self.asked.remove(key)
        self.do(self.planner.gave_up(*key))

    @precondition(lambda self: self.pulls)
    @rule(data=st.data(), works=st.booleans())
    def end_pull(self, data: st.DataObject, works: bool) -> None:
        id = data.draw(st.sampled_from(sorted(self.pulls)))
        store = self.workers[self.pulls.pop(id)]
        if works:
            self.stores[MASTER].add(id)
            self.do(self.planner.stored(MASTER, id))
        else:
            self.stores[store].discard(id)
            self.do(self.planner.lacks(store, id))

    @rule(seconds=st.sampled_from([1.0, 10.0, 20.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.do(self.planner.tick(self.now))

    @invariant()
    def holds(self) -> None:
        self.planner.check_invariants()

    def teardown(self) -> None:
        """Nothing fails any more, and what is nowhere is made anew: everybody gets what he waits for."""
        while self.sent or self.pulls or self.nowhere:
            for id in sorted(self.nowhere):
                self.nowhere.discard(id)
                if not any(id in ids for ids in self.stores.values()):
                    self.stores[MASTER].add(id)
                    self.do(self.planner.stored(MASTER, id))
            for id, worker in list(self.pulls.items()):
                del self.pulls[id]
                self.stores[MASTER].add(id)
                assert worker in self.workers
                self.do(self.planner.stored(MASTER, id))
            for worker, need in list(self.sent):
                del self.sent[worker, need]
                self.asked.remove((worker, need))
                if need.is_whole and need.id in self.sizes:
                    self.stores[self.workers[worker]].add(need.id)
                self.do(self.planner.here(worker, need))
            self.planner.check_invariants()
        assert not self.asked


TestTransfers = Transfers.TestCase
