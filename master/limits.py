"""What clients may have queued here: bytes and tasks of each, of one owner's together, of all together. Pure.

Counted are blocks from their arrival until no task of theirs is open, what waits for definitions, and definitions for
as long as anybody holds them. Long before a limit is reached its clients are told that they are short of room, and
wait; who goes on nevertheless is refused what goes beyond.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from manyhands.wire.sizes import shown

#: What a block, and a job, cost beside what they carry.
BLOCK_OVERHEAD, JOB_OVERHEAD = 512, 4 << 10

#: No client has less than this, however little memory there is: it sends so much before it hears that it should wait.
CLIENT_BYTES_MIN = 128 << 20

#: Who has this part of what he may have is told to wait; no more once he has less than this part of that.
_SHORT, _ENOUGH = 1 / 2, 3 / 4

#: Of a job's entries, by the first task of the block: what is not a block.
OTHERS = -1


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Upper limits. `owner_bytes`: all clients that came with one token; `total_bytes`: all clients."""

    client_bytes: int
    owner_bytes: int
    total_bytes: int
    client_tasks: int
    client_jobs: int

    @classmethod
    def of_machine(cls, memory_bytes: int, client_bytes: int, client_tasks: int, client_jobs: int) -> QueueLimits:
        """Half of the machine's memory for all; of that three quarters for an owner, half for a client if
        `client_bytes` is 0.
        """
        total = memory_bytes // 2
        client = client_bytes or max(total // 2, CLIENT_BYTES_MIN)
        owner = max(client, total * 3 // 4)
        return cls(client, owner, max(owner, total), client_tasks, client_jobs)


class _Account:
    """One client."""

    __slots__ = ("bytes", "groups", "is_short", "jobs", "number", "tasks")

    def __init__(self, number: int, groups: tuple[_Group, ...]) -> None:
        self.number = number
        self.groups = groups
        self.bytes = self.tasks = self.jobs = 0
        self.is_short = False


class _Group:
    """Clients that have a limit together; `members`: those that have anything."""

    __slots__ = ("bytes", "limit", "members", "name")

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self.bytes = 0
        self.members: dict[int, _Account] = {}

    def exceeds(self, part: float) -> bool:
        """Whether they have more than this part of what they may have."""
        return self.bytes > part * self.limit

    def share(self, part: float) -> float:
        """What each of them may have of this part."""
        return part * self.limit / max(1, len(self.members))


class Ledger:
    """Clients by number, their jobs by the master's. `on_change(client, is_short)`: it is short of room, or no more."""

    def __init__(self, limits: QueueLimits, on_change: Callable[[int, bool], None]) -> None:
        self.limits = limits
        self._on_change = on_change
        self._all = _Group("all clients together", limits.total_bytes)
        self._owners: dict[str, _Group] = {}
        self._accounts: dict[int, _Account] = {}
        self._jobs: dict[int, tuple[_Account, dict[int, tuple[int, int]]]] = {}

    # ------------------------------------------------------------ what comes

    def open(self, job: int, client: int, owner: str) -> str:
        """A job is there; why it must not be, if so: then close it. `owner` is empty without access control."""
        account = self._account(client, owner)
        self._jobs[job] = account, {}
        account.jobs += 1
        self._change(account, JOB_OVERHEAD, 0)
        if account.jobs > self.limits.client_jobs:
            return f"this client has {self.limits.client_jobs} jobs open, and may have no more"
        return ""

    def admit(self, job: int, first: int, size: int, tasks: int) -> str:
        """Count a block, unless it goes beyond a limit: then say which."""
        account, _ = self._jobs[job]
        sentence = self._refusal(account, size, tasks)
        if not sentence:
            self.take(job, first, size, tasks)
        return sentence

    def _refusal(self, account: _Account, size: int, tasks: int) -> str:
        limits = self.limits
        if account.bytes + size > limits.client_bytes:
            return (
                f"this client has {shown(account.bytes)} queued, {shown(size)} more came, and it may have "
                f"{shown(limits.client_bytes)}, the master's --client-memory"
            )
        if account.tasks + tasks > limits.client_tasks:
            return (
                f"this client has {account.tasks} tasks queued, {tasks} more came, and it may have "
                f"{limits.client_tasks}"
            )
        for group in account.groups:
            if group.bytes + size > group.limit:
                return (
                    f"{group.name} have {shown(group.bytes)} queued, {shown(size)} more came, and they may have "
                    f"{shown(group.limit)}, a part of the master's memory"
                )
        return ""

    def take(self, job: int, first: int, size: int, tasks: int) -> None:
        """Count a block, by its first task; or something else, by OTHERS."""
        account, entries = self._jobs[job]
        counted = entries.get(first)
        entries[first] = (size, tasks) if counted is None else (counted[0] + size, counted[1] + tasks)
        self._change(account, size, tasks)

    def charge(self, client: int, owner: str, size: int) -> None:
        """Count what belongs to no job; `release_charge` takes it back."""
        self._change(self._account(client, owner), size, 0)

    # ------------------------------------------------------------ what goes

    def release(self, job: int, firsts: Iterable[int]) -> None:
        """These blocks have no open task any more."""
        found = self._jobs.get(job)
        if found is None:
            return
        account, entries = found
        size = tasks = 0
        for first in firsts:
            counted = entries.pop(first, None)
            if counted is not None:
                size += counted[0]
                tasks += counted[1]
        if size:
            self._change(account, -size, -tasks)

    def close(self, job: int) -> None:
        """The job is over."""
        found = self._jobs.pop(job, None)
        if found is not None:
            account, entries = found
            account.jobs -= 1
            size = sum(size for size, _ in entries.values())
            self._change(account, -size - JOB_OVERHEAD, -sum(tasks for _, tasks in entries.values()))

    def release_charge(self, client: int, size: int) -> None:
        """What was charged is gone."""
        self._change(self._accounts[client], -size, 0)

    # ------------------------------------------------------------ who is short of room

    def is_short(self, client: int) -> bool:
        """Whether the client should wait with more."""
        account = self._accounts.get(client)
        return account is not None and account.is_short

    def _account(self, client: int, owner: str) -> _Account:
        account = self._accounts.get(client)
        if account is None:
            groups: tuple[_Group, ...] = (self._all,)
            if owner:
                group = self._owners.get(owner)
                if group is None:
                    group = self._owners[owner] = _Group(f"the clients of {owner} together", self.limits.owner_bytes)
                groups = group, self._all
            account = self._accounts[client] = _Account(client, groups)
            for group in groups:
                group.members[client] = account
        return account

    def _change(self, account: _Account, size: int, tasks: int) -> None:
        account.bytes += size
        account.tasks += tasks
        if not account.bytes:
            self._forget(account)
        for group in account.groups:
            before = group.bytes
            group.bytes += size
            # Only when the group crosses a threshold, or has fewer members, does that concern the others.
            for part in (_SHORT, _SHORT * _ENOUGH):
                if (before > part * group.limit) != group.exceeds(part) or (not account.bytes and group.exceeds(part)):
                    for member in list(group.members.values()):
                        self._look(member)
        self._look(account)

    def _forget(self, account: _Account) -> None:
        del self._accounts[account.number]
        for group in account.groups:
            del group.members[account.number]
            if not group.members and group is not self._all:
                self._owners = {name: other for name, other in self._owners.items() if other is not group}

    def _look(self, account: _Account) -> None:
        is_short = self._exceeds(account, _SHORT * (_ENOUGH if account.is_short else 1))
        if is_short != account.is_short:
            account.is_short = is_short
            self._on_change(account.number, is_short)

    def _exceeds(self, account: _Account, part: float) -> bool:
        """Whether it has more than this part of what it may have; if others have too much, of its equal share."""
        if account.bytes > part * self.limits.client_bytes or account.tasks > part * self.limits.client_tasks:
            return True
        return any(group.exceeds(part) and account.bytes > group.share(part) for group in account.groups)

    def check_invariants(self) -> None:
        """Assert that every sum is one of what is there. For tests."""
        for account in self._accounts.values():
            held = [entries for other, entries in self._jobs.values() if other is account]
            assert account.jobs == len(held)
            assert account.tasks == sum(tasks for entries in held for _, tasks in entries.values())
            counted = sum(size for entries in held for size, _ in entries.values()) + JOB_OVERHEAD * len(held)
            assert account.bytes >= counted, "beside what is charged to no job"
            assert account.bytes > 0
        assert all(account in self._accounts.values() for account, _ in self._jobs.values())
        for group in (self._all, *self._owners.values()):
            assert group.bytes == sum(member.bytes for member in group.members.values())
            assert all(group in member.groups for member in group.members.values())
        assert self._all.members == self._accounts
