"""Prints how long one datum takes to come to many hosts, as planned and otherwise. See `./scripts/bench transfers`."""

import argparse
import math

from tests.simulation.broadcast import GIGABIT, broadcast

from manyhands.master.transfer_limits import TransferLimits

#: What a host would have of a datum before it began to hand that on.
_CUT_THROUGH_BYTES = 4 << 20


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="scripts/bench transfers", description=__doc__)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--megabytes", type=float, default=100.0, help="size of the datum, in 10^6 bytes")
    parser.add_argument("--slow", type=int, default=0, help="so many of the hosts have 100 Mbit/s; all others 1 Gbit/s")
    arguments = parser.parse_args()
    size, hosts = int(arguments.megabytes * 1e6), arguments.hosts
    rates = [GIGABIT] * (hosts + 1 - arguments.slow) + [GIGABIT / 10] * arguments.slow
    alone = size / GIGABIT

    def show(what: str, seconds: float) -> None:
        print(f"{what:<58}{seconds:8.2f} s  {seconds / alone:6.1f} x")

    print(f"{size / 1e6:g} MB to {hosts} hosts, {arguments.slow} of them slow; in units of one transfer at 1 Gbit/s")
    show("lower bound: one host alone", alone)
    show("lower bound where only whole data are handed on", alone * math.ceil(math.log2(hosts + 1)))
    show("everybody from the master", alone * hosts)
    for large in sorted({TransferLimits().large, 1, 2, 4}):
        outcome = broadcast(size, rates, TransferLimits(large=large))
        shipped = ", as shipped" if large == TransferLimits().large else ""
        show(f"planned, {large} at a time from each source{shipped}", outcome.makespan)
        show("    half of the hosts", outcome.ends[len(outcome.ends) // 2])
    hops = math.ceil(math.log2(hosts + 1))
    show(
        "a binary tree that hands on what has come (not built)",
        2 * alone + hops * min(_CUT_THROUGH_BYTES, size) / GIGABIT,
    )


if __name__ == "__main__":
    main()
