"""The command line: manyhands master, worker, local, status."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from pathlib import Path

from manyhands._version import __version__

DEFAULT_PORT = 7077


class _Fault(Exception):
    """The user can mend this; the text says how."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; return the process's exit code."""
    arguments = _parser().parse_args(argv)
    # gRPC's own log lines about refused connections repeat what we say in a sentence.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        # Loaded only now: `--help` should not wait for gRPC.
        from manyhands.wire.errors import ManyhandsError

        if isinstance(error, (_Fault, ManyhandsError, OSError)):
            print(f"manyhands: {error}", file=sys.stderr)
            return 1
        raise


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="manyhands",
        description="One Python worker pool from the machines on your LAN.",
        epilog="Two terminals are enough: `manyhands master` in one, and the `manyhands worker ...` line that it "
        "prints in the other.",
    )
    parser.add_argument("--version", action="version", version=f"manyhands {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    master = commands.add_parser("master", help="start a master", description="Start a master.")
    _add_listen(master)
    master.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="keep the master's lasting state here (made if missing)"
    )
    _add_verbose(master)
    master.set_defaults(run=_master)

    worker = commands.add_parser(
        "worker",
        help="start a worker",
        description="Start a worker. It keeps trying until the master is there, and again when it goes away.",
    )
    worker.add_argument("address", metavar="HOST:PORT", help="where the master serves")
    _add_slots(worker)
    worker.add_argument("--name", default="", help="what others call it (default: host name and process id)")
    _add_verbose(worker)
    worker.set_defaults(run=_worker)

    local = commands.add_parser(
        "local",
        help="start a master and workers on this machine",
        description="Start a master and workers on this machine, in one process.",
    )
    _add_listen(local)
    local.add_argument("--workers", type=_positive, default=1, metavar="N", help="how many workers (default: 1)")
    _add_slots(local)
    _add_verbose(local)
    local.set_defaults(run=_local)

    status = commands.add_parser("status", help="show a master's workers and jobs")
    status.add_argument("address", metavar="HOST:PORT", help="where the master serves")
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(run=_status)

    embedded = commands.add_parser("embedded")  # started by Client(), not by people: no help, not listed
    embedded.add_argument("--dir", type=Path, required=True)
    embedded.add_argument("--workers", type=_positive, required=True)
    embedded.add_argument("--slots", type=_positive, required=True)
    embedded.add_argument("--parent", type=int, required=True)
    embedded.add_argument("--ready-fd", type=int, required=True)
    embedded.set_defaults(run=_embedded, verbose=False)
    return parser


def _add_listen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        help=f"port to listen on (default: {DEFAULT_PORT}; 0: any free)",
    )


def _add_slots(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--slots", type=_positive, default=usable_cores(), metavar="N",
        help="tasks run at the same time by a worker (default: a core each, %(default)s here)",
    )  # fmt: skip


def _add_verbose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-v", "--verbose", action="store_true", help="say who joins and leaves")


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value < 65536:
        raise argparse.ArgumentTypeError(f"must be from 0 to 65535, not {value}")
    return value


def _log(verbose: bool) -> None:
    import logging

    logging.basicConfig(
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
        level=logging.INFO if verbose else logging.WARNING,
    )


def _check_address(address: str) -> str:
    """A master's "host:port", with the default port filled in; the host must resolve."""
    host, colon, port = address.rpartition(":")
    if not colon:
        host, port = address, str(DEFAULT_PORT)
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise _Fault(f"{address!r} is not an address: write HOST:PORT, such as 192.0.2.7:{DEFAULT_PORT}")
    try:
        socket.getaddrinfo(host.strip("[]"), int(port))
    except OSError as error:
        raise _Fault(f"the host {host!r} is unknown ({error.strerror}): check the name, or use its address") from None
    return f"{host}:{port}"


def _master(arguments: argparse.Namespace) -> int:
    from manyhands.daemons import run_daemon, serve_master

    _log(arguments.verbose)
    return run_daemon(serve_master(arguments.host, arguments.port, arguments.data_dir))


def _worker(arguments: argparse.Namespace) -> int:
    from manyhands.daemons import run_daemon, serve_worker

    _log(arguments.verbose)
    return run_daemon(serve_worker(_check_address(arguments.address), arguments.name, arguments.slots))


def _local(arguments: argparse.Namespace) -> int:
    from manyhands.daemons import run_daemon, serve_local

    _log(arguments.verbose)
    return run_daemon(serve_local(arguments.host, arguments.port, arguments.workers, arguments.slots))


def _embedded(arguments: argparse.Namespace) -> int:
    from manyhands.daemons import run_daemon, serve_embedded

    _log(verbose=False)
    return run_daemon(
        serve_embedded(arguments.dir, arguments.workers, arguments.slots, arguments.parent, arguments.ready_fd)
    )


def _status(arguments: argparse.Namespace) -> int:
    from manyhands.status import fetch_status, print_status

    reply = fetch_status(_check_address(arguments.address))
    if arguments.json:
        print(json.dumps(reply, indent=2))
    else:
        print_status(arguments.address, reply)
    return 0


if __name__ == "__main__":
    sys.exit(main())
