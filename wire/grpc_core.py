"""gRPC itself, imported with its own poller in place of the event engine: each message then crosses one thread less.

Since 1.78 grpcio hands every arrival from an event engine's thread to the completion queue's, and that one to the
loop. Without the first step a bare echo over loopback takes two thirds of the time (benchmarks: bare stream).
"""

from __future__ import annotations

import os
import sys
from importlib import metadata

_VARIABLE = "GRPC_EXPERIMENTS"
_CHOICE = "-event_engine_client,-event_engine_listener"
#: Later versions may not know these names, and would say so on stderr.
_NEWEST_TESTED = (1, 85)


def _is_tested() -> bool:
    major, minor = metadata.version("grpcio").split(".")[:2]
    return (int(major), int(minor)) <= _NEWEST_TESTED


# It is read when gRPC is imported; whoever did that before us, or set it, has chosen.
_choose = "grpc" not in sys.modules and _VARIABLE not in os.environ and _is_tested()
if _choose:
    os.environ[_VARIABLE] = _CHOICE
try:
    import grpc
    import grpc.aio

    from manyhands.protos import manyhands_pb2_grpc as pb_grpc
finally:
    if _choose:
        del os.environ[_VARIABLE]  # processes that the user starts choose for themselves

__all__ = ["grpc", "pb_grpc"]
