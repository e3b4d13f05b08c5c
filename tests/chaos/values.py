"""What a task returns: a function of its id and nothing else, so that a wrong value shows."""

from __future__ import annotations

from hashlib import blake2b


def filler(task: str, size: int) -> bytes:
    """`size` bytes that belong to this task."""
    seed = blake2b(task.encode()).digest()
    return (seed * (size // len(seed) + 1))[:size]


def digest(task: str, payload: bytes) -> str:
    """What a history keeps of the value (task, payload)."""
    return blake2b(payload, key=task.encode()[:64], digest_size=8).hexdigest()
