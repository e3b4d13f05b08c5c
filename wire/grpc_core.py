"""gRPC itself, imported with its own poller in place of the event engine, and without its handlers of forks.

Since 1.78 grpcio hands every arrival from an event engine's thread to the completion queue's, and that one to the
loop. Without the first step a bare echo over loopback takes two thirds of the time (benchmarks: bare stream).

A fork runs its handlers, which stop its threads first and at times wait for them for ever (grpc issue 31885, and our
own soak). Without them a forked child cannot use gRPC; ours refuses to anyway.
"""

from __future__ import annotations

import os
import sys
from importlib import metadata

#: Later versions may not know these experiments, and would say so on stderr.
_NEWEST_TESTED = (1, 85)


def _is_tested() -> bool:
    major, minor = metadata.version("grpcio").split(".")[:2]
    return (int(major), int(minor)) <= _NEWEST_TESTED


# They are read when gRPC is imported, or begins; whoever did that before us, or set them, has chosen.
_choices = {
    "GRPC_ENABLE_FORK_SUPPORT": "0",
    # An empty list is an error. This one needs a key that both sides know beforehand, and nobody here has one.
    "GRPC_SSL_CIPHER_SUITES": "ECDHE-PSK-CHACHA20-POLY1305",
}
if _is_tested():
    _choices["GRPC_EXPERIMENTS"] = "-event_engine_client,-event_engine_listener"
_choices = {} if "grpc" in sys.modules else {name: _choices[name] for name in _choices.keys() - os.environ.keys()}
os.environ.update(_choices)
try:
    import grpc
    import grpc.aio

    from manyhands.protos import manyhands_pb2_grpc as pb_grpc

    # Versions such as 1.71 read some of them only when something begins: this does, and leaves no thread.
    grpc.ssl_server_credentials([(b"no key", b"no certificate")])
finally:
    for _name in _choices:  # processes that the user starts choose for themselves
        del os.environ[_name]

__all__ = ["grpc", "pb_grpc"]
