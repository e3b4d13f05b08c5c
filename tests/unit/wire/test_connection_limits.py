"""Limits of connections: as gRPC calls them, and never more than the process may open."""

import pytest

from manyhands.wire.connection_limits import ConnectionLimits


def connections(limit: int, open_files: int) -> int:
    return dict(ConnectionLimits(connections=limit).options(open_files))["grpc.max_allowed_incoming_connections"]


def test_durations_are_milliseconds() -> None:
    options = dict(ConnectionLimits(handshake_timeout=2.5, idle_timeout=0.25, silence_timeout=3.0).options(1024))
    assert options["grpc.server_handshake_timeout_ms"] == 2500
    assert options["grpc.max_connection_idle_ms"] == 250
    assert options["grpc.keepalive_timeout_ms"] == 3000


@pytest.mark.parametrize(
    ("limit", "open_files", "expected"),
    [(4096, 1 << 20, 4096), (4096, 1024, 768), (4096, 256, 128), (100, 1024, 100), (4096, 512, 256)],
)
def test_files_are_left_for_the_journal(limit: int, open_files: int, expected: int) -> None:
    assert connections(limit, open_files) == expected
