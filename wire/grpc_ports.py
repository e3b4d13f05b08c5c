"""The ports that gRPC servers listen on: opened, or said to be another's."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable

from manyhands.wire.certificate import ServerIdentity
from manyhands.wire.connection_limits import ConnectionLimits
from manyhands.wire.grpc_core import grpc
from manyhands.wire.grpc_links import SERVER_OPTIONS
from manyhands.wire.grpc_methods import make_server


class AddressInUse(OSError):
    """A server cannot listen where it was told to."""


def new_server(limits: ConnectionLimits, message_bytes: int = 4 << 20) -> grpc.aio.Server:
    """One that listens nowhere yet. message_bytes: what is longer is refused."""
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if open_files == resource.RLIM_INFINITY:
        open_files = sys.maxsize
    received = ("grpc.max_receive_message_length", message_bytes)
    return make_server((*SERVER_OPTIONS, received, *limits.options(open_files)))


async def start(
    server: grpc.aio.Server,
    address: str,
    identity: ServerIdentity | None = None,
    on_bound: Callable[[int], None] = lambda _: None,
) -> int:
    """Serve at "host:port" (port 0: any), in plain text unless `identity`; return the port. Raises AddressInUse.

    on_bound(port): the port is ours; nobody has been served yet.
    """
    try:
        if identity is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, _credentials(identity))
    except RuntimeError as error:
        raise AddressInUse(f"cannot listen on {address}: is another process listening there?") from error
    if not port:
        raise AddressInUse(f"cannot listen on {address}: is another process listening there?")
    on_bound(port)
    await server.start()
    return port


def _credentials(identity: ServerIdentity) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(identity.key_pem, identity.certificate_pem)],
        root_certificates=identity.client_ca_pem,
        require_client_auth=identity.client_ca_pem is not None,
    )
