"""manyhands: turns the machines on a LAN into one Python worker pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manyhands._version import __version__

if TYPE_CHECKING:
    from manyhands.client.aio import AsyncClient
    from manyhands.client.client import Client
    from manyhands.client.computation import checkpoint_computation
    from manyhands.client.futures import Future
    from manyhands.worker.slot_context import current_task

__all__ = ["AsyncClient", "Client", "Future", "__version__", "checkpoint_computation", "current_task"]

#: Loaded at first use: a slot that imports manyhands must not pay for gRPC, which it may not even import.
_HOMES = {
    "AsyncClient": "manyhands.client.aio",
    "Client": "manyhands.client.client",
    "Future": "manyhands.client.futures",
    "checkpoint_computation": "manyhands.client.computation",
    "current_task": "manyhands.worker.slot_context",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'manyhands' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
