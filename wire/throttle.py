"""Failed attempts slow down whoever makes them: the longer, the more there were. Pure."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

#: Seconds before the answer to the first failed attempt of an address; each further one doubles that, up to the
#: maximum, which stays below what a dialer waits for an answer.
DELAY = 0.1
DELAY_MAX = 8.0
#: Seconds without a failure after which an address is as good as new.
FORGIVEN_AFTER = 300.0
#: Addresses that are remembered; beyond them the one that failed longest ago is forgotten.
ADDRESSES_MAX = 10_000


class Throttle:
    """Counts failures by address. IPv6: by network, for one host has 2^64 addresses there."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def failed(self, address: str, now: float) -> float:
        """An attempt from `address` failed; for how many seconds its answer shall wait."""
        place = network_of(address)
        count, at = self._failures.pop(place, (0, now))
        if now - at > FORGIVEN_AFTER:
            count = 0
        self._failures[place] = min(count + 1, 64), now
        if len(self._failures) > ADDRESSES_MAX:
            self._failures.popitem(last=False)
        return min(DELAY * 2.0**count, DELAY_MAX)


def network_of(address: str) -> str:
    """What counts as one place: an IPv4 address, or the /64 of an IPv6 one; anything else is a place by itself."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
