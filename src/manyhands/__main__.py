"""The command line: manyhands master, worker, local, status."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from manyhands._version import __version__
from manyhands.addresses import DEFAULT_PORT, check_address
from manyhands.wire.sizes import parse_bytes, shown


def main(argv: list[str] | None = None) -> int:
    """Run one command; return the process's exit code."""
    _open_standard_streams()
    argv = sys.argv[1:] if argv is None else argv
    # Started by Client(), not by people, who do not see it listed.
    arguments = _embedded_parser().parse_args(argv[1:]) if argv[:1] == ["embedded"] else _parser().parse_args(argv)
    # gRPC's own log lines about refused connections repeat what we say in a sentence.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        code = int(arguments.run(arguments))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # `| head` has read enough. What is still buffered goes nowhere, or the interpreter's end would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        # Loaded only now: `--help` should not wait for gRPC.
        from manyhands.wire.errors import ManyhandsError

        if isinstance(error, (ManyhandsError, OSError)):
            print(f"manyhands: {error}", file=sys.stderr)
            return 1
        raise


def _open_standard_streams() -> None:
    """Open those that the caller closed (`>&-`): otherwise the next socket takes a number that is written to."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - as long as the process
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115 - likewise


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
    journal = master.add_mutually_exclusive_group()
    journal.add_argument(
        "--data-dir", type=Path, metavar="DIR",
        help="keep the journal here: started again with it, the master goes on where it was "
        "(default: a folder for each port below ~/.local/share/manyhands; none with --port 0)",
    )  # fmt: skip
    journal.add_argument("--no-journal", action="store_true", help="keep nothing: all work is lost with the master")
    master.add_argument(
        "--heartbeat-timeout", type=_seconds, default=15.0, metavar="SECONDS",
        help="give up who has been silent for so long (default: 15)",
    )  # fmt: skip
    master.add_argument(
        "--reconnect-timeout", type=_seconds, default=1.0, metavar="SECONDS",
        help="wait so long for a worker whose connection broke before its tasks run elsewhere (default: 1)",
    )  # fmt: skip
    master.add_argument(
        "--client-memory", type=_client_memory, default=0, metavar="SIZE",
        help="what one client's tasks may take here until they are done, such as 4GiB: it waits before, and what comes "
        "nevertheless is refused (default: a quarter of the machine's memory)",
    )  # fmt: skip
    _add_drain(master)
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
    _add_drain(worker)
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
    _add_drain(local)
    _add_verbose(local)
    local.set_defaults(run=_local)

    status = commands.add_parser(
        "status", help="show a master's workers and jobs", description="Show a master's workers and jobs."
    )
    status.add_argument("address", metavar="HOST:PORT", help="where the master serves")
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(run=_status)

    return parser


def _embedded_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="manyhands embedded")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--workers", type=_positive, required=True)
    parser.add_argument("--slots", type=_positive, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--ready-fd", type=int, required=True)
    parser.add_argument("--data-dir", type=Path)
    parser.set_defaults(run=_embedded)
    return parser


def _add_listen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        help=f"port to listen on (default: {DEFAULT_PORT}; 0: any free)",
    )
    parser.add_argument(
        "--tcp-only",
        action="store_true",
        help="talk gRPC with this user's processes on this machine, too, not the shorter way over a Unix socket",
    )


def _add_slots(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--slots", type=_positive, default=usable_cores(), metavar="N",
        help="tasks run at the same time by a worker (default: a core each, %(default)s here)",
    )  # fmt: skip

    parser.add_argument(
        "--memory", type=_memory, default=0, metavar="SIZE",
        help="private memory that each slot may use, such as 4GiB: who uses more is killed, and the task fails; mapped "
        "files and shared memory do not count (default: as much as there is; Linux only)",
    )  # fmt: skip


def _add_drain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--drain-timeout", type=_seconds, default=30.0, metavar="SECONDS",
        help="on SIGTERM or Ctrl-C, let running tasks go on for so long (default: 30; a second signal stops at once)",
    )  # fmt: skip


def _add_verbose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-v", "--verbose", action="store_true", help="say who joins and leaves")


def default_data_dir(port: int) -> Path:
    """Where a master keeps its journal unless told otherwise; see the XDG Base Directory Specification."""
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if base else Path.home() / ".local" / "share") / "manyhands" / f"master-{port}"


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 0, not {text!r}")
    return seconds


def _size(text: str) -> int:
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _client_memory(text: str) -> int:
    from manyhands.master.limits import CLIENT_BYTES_MIN

    size = _size(text)
    if size < CLIENT_BYTES_MIN:
        raise argparse.ArgumentTypeError(f"must be at least {shown(CLIENT_BYTES_MIN)}: a client sends ahead")
    return size


def _memory(text: str) -> int:
    from manyhands.worker.private_memory import is_countable

    size = _size(text)
    if not is_countable():
        raise argparse.ArgumentTypeError("memory can only be limited on Linux, which tells who uses how much")
    return size


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 65535, not {text!r}")
    return int(text)


def _log(verbose: bool) -> None:
    import logging

    logging.basicConfig(
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
        level=logging.INFO if verbose else logging.WARNING,
    )


def _master(arguments: argparse.Namespace) -> int:
    from manyhands.daemons import run_daemon, serve_master
    from manyhands.master.config import MasterConfig

    _log(arguments.verbose)
    data_dir = arguments.data_dir
    if data_dir is None and arguments.port and not arguments.no_journal:
        data_dir = default_data_dir(arguments.port)
    config = MasterConfig(
        heartbeat_interval=arguments.heartbeat_timeout / 3,
        heartbeat_timeout=arguments.heartbeat_timeout,
        reconnect_timeout=arguments.reconnect_timeout,
        client_bytes=arguments.client_memory,
    )
    where = arguments.host, arguments.port, data_dir
    return run_daemon(serve_master(*where, config, arguments.drain_timeout, tcp_only=arguments.tcp_only))


def _worker(arguments: argparse.Namespace) -> int:
    from manyhands.worker.reaper import Reaper

    address = check_address(arguments.address)
    with Reaper() as reaper:  # before the rest is imported: it is a fork of what is here
        from manyhands.daemons import run_daemon, serve_worker

        _log(arguments.verbose)
        size = arguments.slots, arguments.memory
        return run_daemon(serve_worker(address, arguments.name, *size, arguments.drain_timeout, reaper))


def _local(arguments: argparse.Namespace) -> int:
    from manyhands.worker.reaper import Reaper

    with Reaper() as reaper:
        from manyhands.daemons import run_daemon, serve_local

        _log(arguments.verbose)
        where, size = (arguments.host, arguments.port), (arguments.workers, arguments.slots, arguments.memory)
        return run_daemon(serve_local(*where, *size, arguments.drain_timeout, reaper, tcp_only=arguments.tcp_only))


def _embedded(arguments: argparse.Namespace) -> int:
    from manyhands.worker.reaper import Reaper

    with Reaper() as reaper:
        from manyhands.daemons import run_daemon, serve_embedded

        _log(verbose=False)
        size = arguments.workers, arguments.slots
        owner = arguments.parent, arguments.ready_fd
        return run_daemon(serve_embedded(arguments.dir, arguments.data_dir, *size, *owner, reaper))


def _status(arguments: argparse.Namespace) -> int:
    from manyhands.status import fetch_status, print_status

    address = check_address(arguments.address)
    reply = fetch_status(address)
    if arguments.json:
        print(json.dumps(reply, indent=2))
    else:
        print_status(address, reply)
    return 0


if __name__ == "__main__":
    sys.exit(main())
