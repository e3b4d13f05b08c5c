"""A long run that can be stopped at any time: what was computed is kept, and not computed again by the next run.

Counts the prime numbers of a range in parts. Run it, stop it with Ctrl-C or worse, and run it again.
"""

import sys

from manyhands import Client

PART = 5_000


def count_primes(start):
    return sum(all(n % k for k in range(2, int(n**0.5) + 1)) for n in range(max(start, 2), start + PART))


end, checkpoint = int(sys.argv[1]), sys.argv[2]  # a name, or the path of a directory
with Client() as client:
    kept = client.with_options(checkpoint=checkpoint)
    total = sum(kept.map(count_primes, range(0, end, PART), progress=True))
    recalled = client.get_stats()["tasks_recalled"]

print(f"{total} primes below {end}; {recalled} parts were known already")
