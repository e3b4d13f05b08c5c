"""Owns what a reader must know before quoting a figure of these benchmarks."""

from collections.abc import Sequence
from statistics import median

from benchmarks.readings import Outcome
from benchmarks.systems import TITLES

CAVEATS = """\
One machine, loopback only, two slots everywhere: nothing here tells how a system behaves on many hosts.
Client, master, worker and slots share the cores with the work, so systems with more processes pay for it.
Every repetition runs in a fresh process with a fresh cluster, warmed up before the clock starts; start-up \
is not measured. The systems take turns within each repetition. The best of three counts; memory and idle \
load ran once.
Slow systems get fewer items, and rates are compared: one that slows down as its queue grows looks better \
that way.
No-op tasks measure overhead and nothing else. With tasks of 100 ms all these systems are about equally \
fast, and several peers do what manyhands does not: data locality, task graphs, actors, batch queues.
ProcessPoolExecutor and multiprocessing.Pool are one host and no network, and a slot that crashes breaks the \
first and hangs the second. `chunksize=500` is chosen by hand for this very load; Pool picks its own size if \
none is given.
Ray's row with `chunksize=500` is `ray.util.multiprocessing.Pool`; its `map` is one task an item and one \
`ray.get`.
A busy-wait task spins on the wall clock: while another process has its core, that time counts as work. So a \
system whose own processes need a core is charged less than their CPU time.
p50 and p99 are each the best repetition's, not one repetition's pair.
Separate daemons on one machine talk over a Unix socket; between hosts they talk gRPC with TLS and a token, which is \
a row of its own here, without a network's delay. No peer here encrypts what it sends.
Arrays have other content in each round. The best round counts: one in which a system's shared memory has been in \
use before, which is where Ray is five times as fast as in others; medians are in the JSON file.
Memory that an array takes is what all processes hold for themselves and the host's shared memory, which is \
everybody's: another program's counts as well.
Where each submit sends the array, Dask and Ray get fewer of them. Dask's `frequencies`, word by word, gets four \
files of text instead of a hundred. Ray has no reduction by key: a few tasks make Counters, others merge them. With a \
Counter for each file the user's own code does nearly all of the work, in Dask too.
The bare stream is one hop each way between two processes; a task's round trip through a master takes at \
least two.
""".splitlines()


def noise(outcomes: Sequence[Outcome]) -> str:
    """How far apart repetitions of one figure lay: a sentence, empty where nothing was repeated."""
    spreads = [
        (outcome.spread(key), f"`{key}` on {TITLES[outcome.system]}")
        for outcome in outcomes
        if len(outcome.repetitions) > 1
        for key in outcome.best()
    ]
    if not spreads:
        return ""
    largest, where = max(spreads)
    middle = median(spread for spread, _ in spreads)
    return f"Between repetitions a figure varied by a factor of {middle:.2f} (median), at most {largest:.1f}: {where}."
