"""Which client holds which data, how much of that counts against it, and who waits for what; pure."""

from __future__ import annotations

from collections import Counter

from manyhands.master.data import Datum
from manyhands.wire.sizes import shown

#: How many data one client may hold.
CLIENT_DATA = 100_000


class Holdings:
    """Clients by number. What a client waits for does not count: it may only hold that until the master has it."""

    def __init__(self, client_bytes: int) -> None:
        """client_bytes: how much one client may hold."""
        self._client_bytes = client_bytes
        self._held: dict[int, dict[bytes, Datum]] = {}
        self._awaited: dict[bytes, set[int]] = {}
        #: Of each client, what counts.
        self._numbers: Counter[int] = Counter()
        self._bytes: Counter[int] = Counter()

    def add(self, client: int, datum: Datum) -> bool:
        """Whether it is new to that client."""
        held = self._held.setdefault(client, {})
        if datum.id in held:
            return False
        held[datum.id] = datum
        self._count(client, datum, 1)
        return True

    def remove(self, client: int, id: bytes) -> Datum | None:
        """It is held, or waited for, no more; None: it was not held."""
        datum = self._held.get(client, {}).pop(id, None)
        if datum is not None:
            self._stop_waiting(client, datum)
            self._count(client, datum, -1)
        return datum

    def remove_all(self, client: int) -> list[Datum]:
        """The same of whatever this client held."""
        held = list(self._held.get(client, {}))
        removed = [datum for id in held if (datum := self.remove(client, id)) is not None]
        self._held.pop(client, None)
        return removed

    def find(self, client: int, id: bytes) -> Datum | None:
        """The datum, if that client holds it."""
        return self._held.get(client, {}).get(id)

    def holders(self, id: bytes) -> list[int]:
        """The clients that hold it."""
        return [client for client, held in self._held.items() if id in held]

    def fault(self, client: int) -> str:
        """Why what this client holds is more than it may, if so."""
        size, number = self._bytes[client], self._numbers[client]
        if size > self._client_bytes:
            return f"this client holds {shown(size)} of data, and may hold {shown(self._client_bytes)}"
        if number > CLIENT_DATA:
            return f"this client holds {number} data, and may hold {CLIENT_DATA}: put many small ones as one"
        return ""

    # ------------------------------------------------------------ waiting

    def wait(self, client: int, datum: Datum) -> None:
        """A client waits for what it holds."""
        waiting = self._awaited.setdefault(datum.id, set())
        if client not in waiting:
            waiting.add(client)
            self._count(client, datum, -1)

    def is_awaited(self, id: bytes) -> bool:
        return id in self._awaited

    def end_wait(self, datum: Datum) -> list[int]:
        """The clients that have waited for it."""
        waiting = sorted(self._awaited.get(datum.id, ()))
        for client in waiting:
            self._stop_waiting(client, datum)
        return waiting

    def _stop_waiting(self, client: int, datum: Datum) -> None:
        waiting = self._awaited.get(datum.id, set())
        if client in waiting:
            waiting.discard(client)
            self._count(client, datum, 1)
            if not waiting:
                del self._awaited[datum.id]

    def _count(self, client: int, datum: Datum, sign: int) -> None:
        self._numbers[client] += sign
        self._bytes[client] += sign * datum.size
        if not self._numbers[client]:
            del self._numbers[client], self._bytes[client]

    def check_invariants(self) -> None:
        """What counts is what is held and not waited for."""
        for client in self._held.keys() | self._numbers.keys():
            counting = [
                datum for id, datum in self._held.get(client, {}).items() if client not in self._awaited.get(id, ())
            ]
            assert self._numbers[client] == len(counting)
            assert self._bytes[client] == sum(datum.size for datum in counting)
        for id, waiting in self._awaited.items():
            assert waiting
            assert all(id in self._held[client] for client in waiting)
