"""A gRPC server that takes calls of its own methods only.

grpc.aio decodes the path of any other call in its main loop: one byte in it that is no UTF-8, from anybody who can
connect, ends the server (seen with grpcio 1.85.1; found by `./scripts/fuzz`). So it is not given any other call: the
core lets those wait and then ends them, without a word to Python.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from manyhands.wire.grpc_core import grpc

log = logging.getLogger("manyhands.wire")

#: Seconds after which the core ends a call that nobody takes.
_UNKNOWN_CALL_TIMEOUT = 10


def make_server(options: Sequence[tuple[str, Any]]) -> grpc.aio.Server:
    """Like grpc.aio.server. Versions whose main loop does not look at paths are left as they are, and those that are
    built otherwise, too: a server that starts is worth more.
    """
    options = (*options, ("grpc.server_max_unrequested_time_in_server", _UNKNOWN_CALL_TIMEOUT))
    server = grpc.aio.server(options=options)
    try:
        core = _core(options)
    except (ImportError, AttributeError, TypeError) as error:
        log.warning("this version of grpcio is not known: malformed calls are left to it (%s)", error)
    else:
        if core is not None:
            server._server = core  # type: ignore[attr-defined]  # noqa: SLF001 - there is no other way in
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_ours)
    return server


def _core(options: Sequence[tuple[str, Any]]) -> Any:
    """What is behind grpc.aio's server, with our change; None if it needs none. Raises what a changed inside raises."""
    from grpc._cython import cygrpc
    from grpc.aio import _server

    if not hasattr(cygrpc.AioServer, "_make_request_call_future"):
        return None

    class OwnMethods(cygrpc.AioServer):  # type: ignore[misc]  # it has no types
        def _make_request_call_future(self, method: bytes | None) -> asyncio.Future[Any]:
            if method is None:  # any that is not ours
                return asyncio.get_running_loop().create_future()
            future: asyncio.Future[Any] = super()._make_request_call_future(method)
            return future

    arguments = _server._augment_channel_arguments(options, None)  # noqa: SLF001 - as its constructor does
    return OwnMethods(cygrpc.get_working_loop(), None, (), None, arguments, None)


def _is_ours(record: logging.LogRecord) -> bool:
    """Not what anybody can make gRPC say as often as he likes: that a header is no UTF-8, with a traceback."""
    return not record.getMessage().startswith("Invalid encoding on")
