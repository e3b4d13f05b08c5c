"""Many hosts want one datum at once: the real planner on a simulated network, whose links are shared fairly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from manyhands.master.transfer_commands import Command, SendAdmit, SendSource
from manyhands.master.transfer_limits import TransferLimits
from manyhands.master.transfer_sources import MASTER
from manyhands.master.transfers import TransferPlanner
from manyhands.wire.needs import Need

ID = bytes(16)
#: Bytes a second that a link of 1 Gbit/s carries, each way.
GIGABIT = 125e6
#: Seconds for each transfer besides its bytes: DataHere to the master, Source to the host, TLS, the first fetch.
OVERHEAD = 0.01
#: Number of the master among the nodes; hosts count from 1.
_MASTER_NODE = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """ends: when each host had it, in seconds; most_at_once: transfers that one source served, slow ones included."""

    ends: list[float]
    most_at_once: int

    @property
    def makespan(self) -> float:
        """Until the last one had it."""
        return max(self.ends)


@dataclass(slots=True)
class _Flow:
    source: int
    target: int
    left: float
    starts: float
    rate: float = 0.0


def broadcast(size: int, rates: Sequence[float], limits: TransferLimits) -> Outcome:
    """rates: bytes a second that each host's link carries each way; the master's is the first.

    The master has the datum; all hosts ask for it at once.
    """
    tickets = count()
    planner = TransferPlanner(lambda: next(tickets).to_bytes(32, "big"), limits)
    planner.known(ID, size)
    planner.stored(MASTER, ID)
    hosts = range(1, len(rates))
    for host in hosts:
        planner.joined(host, f"store-{host}", str(host), b"", [])
    flows: list[_Flow] = []
    ends: dict[int, float] = {}
    most_at_once = 0
    now = 0.0

    def do(commands: list[Command]) -> None:
        for command in commands:
            match command:
                case SendSource():
                    source = int(command.address) if command.address else _MASTER_NODE
                    flows.append(_Flow(source, command.worker, float(size), now + OVERHEAD))
                case SendAdmit():
                    assert command.worker in ends, "only whole data make a source"
                case _:
                    raise AssertionError(command)

    for host in hosts:
        do(planner.locate(host, Need(ID)))
    while flows:
        planner.check_invariants()
        most_at_once = max(most_at_once, *Counter(flow.source for flow in flows).values())
        _share([flow for flow in flows if flow.starts <= now], rates)
        step = min(flow.left / flow.rate if flow.rate else flow.starts - now for flow in flows)
        due = planner.next_deadline()
        if due is not None:
            step = max(0.0, min(step, due - now))
        now += step
        for flow in flows:
            flow.left -= flow.rate * step
            if not flow.rate and flow.starts - now < 1e-9:
                flow.starts = now
        over = [flow for flow in flows if flow.left < 1]
        flows = [flow for flow in flows if flow.left >= 1]
        for flow in over:
            ends[flow.target] = now
        for flow in over:
            do(planner.here(flow.target, Need(ID)))
        if due is not None and due <= now:
            do(planner.tick(now))
    assert len(ends) == len(hosts)
    return Outcome(sorted(ends.values()), most_at_once)


def _share(flows: Sequence[_Flow], rates: Sequence[float]) -> None:
    """Max-min fairness: the link that gives each of its flows least settles what they get, again and again."""
    left: dict[tuple[str, int], float] = {}
    users: dict[tuple[str, int], list[_Flow]] = {}
    for flow in flows:
        for link in (("up", flow.source), ("down", flow.target)):
            left[link] = rates[link[1]]
            users.setdefault(link, []).append(flow)
    open_flows = {id(flow) for flow in flows}
    while open_flows:
        link = min(users, key=lambda each: left[each] / len(users[each]))
        fair = left[link] / len(users[link])
        for flow in list(users[link]):
            flow.rate = fair
            open_flows.remove(id(flow))
            for other in (("up", flow.source), ("down", flow.target)):
                left[other] -= fair
                users[other].remove(flow)
                if not users[other]:
                    del users[other]
