"""What connections may cost a server before it knows whose they are: time, number, streams, headers."""

from __future__ import annotations

from dataclasses import dataclass

#: Files that a server opens besides its connections: journal or data, local sockets, what libraries hold.
_OTHER_FILES = 256


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Durations in seconds, sizes in bytes. gRPC enforces them; `options` says how it calls them."""

    #: TLS has to be agreed on within it, and then HTTP/2.
    handshake_timeout: float = 10.0
    #: A connection on which no call is open for so long is closed. Workers and clients hold one all the time.
    idle_timeout: float = 10.0
    #: So long bytes that were sent may stay without the other system's word that it has them, before the connection is
    #: lost. Until then gRPC keeps one with bytes in it, even if we have given it up.
    silence_timeout: float = 15.0
    #: More at one time are closed at once: those that stand are not disturbed by those that come.
    connections: int = 4096
    #: Calls open at one time on one connection; more wait at their end. Workers and clients open one.
    streams: int = 8
    #: All headers of one call. Ours take some 500 bytes; no secret travels there.
    header_bytes: int = 4096

    def options(self, open_files: int) -> tuple[tuple[str, int], ...]:
        """For a gRPC server in a process that may hold so many files open: it must not run out of them."""
        return (
            ("grpc.server_handshake_timeout_ms", round(self.handshake_timeout * 1000)),
            ("grpc.max_connection_idle_ms", round(self.idle_timeout * 1000)),
            ("grpc.keepalive_timeout_ms", round(self.silence_timeout * 1000)),  # becomes TCP_USER_TIMEOUT
            (
                "grpc.max_allowed_incoming_connections",
                min(self.connections, max(open_files - _OTHER_FILES, open_files // 2)),
            ),
            ("grpc.max_concurrent_streams", self.streams),
            # Between the two, gRPC refuses some calls at random.
            ("grpc.max_metadata_size", self.header_bytes),
            ("grpc.absolute_max_metadata_size", self.header_bytes),
        )
