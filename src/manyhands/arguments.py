"""What the command line accepts: commands, their options, and how values are written."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from manyhands._version import __version__
from manyhands.addresses import DEFAULT_PORT
from manyhands.wire.sizes import parse_bytes, shown

#: What a token may allow; see master/access.py.
ROLES = ("worker", "client", "read-only", "admin")


def command_parser() -> argparse.ArgumentParser:
    """What people type; `command` names what to run."""
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
    _add_access(master)
    _add_drain(master)
    _add_verbose(master)
    master.set_defaults(command="master")

    worker = commands.add_parser(
        "worker",
        help="start a worker",
        description="Start a worker. It keeps trying until the master is there, and again when it goes away.",
    )
    worker.add_argument("address", metavar="HOST:PORT", help="where the master serves")
    _add_slots(worker)
    worker.add_argument("--name", default="", help="what others call it (default: host name and process id)")
    worker.add_argument(
        "--store-memory", type=_size, metavar="SIZE",
        help="memory for the data that all processes of a cluster on this host share, if this one is there first; what "
        "is more goes to disk (default: three tenths of the machine's memory)",
    )  # fmt: skip
    worker.add_argument(
        "--store-dir", type=Path, metavar="DIR",
        help="where on disk that is, likewise (default: in /var/tmp, or where TMPDIR says)",
    )  # fmt: skip
    worker.add_argument(
        "--data-port", type=_port, default=0, metavar="PORT",
        help="where other workers get data of this one (default: any free port)",
    )  # fmt: skip
    worker.add_argument(
        "--data-host", default="", metavar="HOST",
        help="by which name or address they reach it (default: the address from which it reaches the master)",
    )  # fmt: skip
    worker.add_argument(
        "--no-peers", dest="peers", action="store_false",
        help="listen nowhere: other workers get data of this one through the master",
    )  # fmt: skip
    _add_token(worker)
    _add_drain(worker)
    _add_verbose(worker)
    worker.set_defaults(command="worker")

    local = commands.add_parser(
        "local",
        help="start a master and workers on this machine",
        description="Start a master and workers on this machine, in one process.",
    )
    _add_listen(local)
    local.add_argument("--workers", type=_positive, default=1, metavar="N", help="how many workers (default: 1)")
    _add_slots(local)
    _add_access(local)
    _add_drain(local)
    _add_verbose(local)
    local.set_defaults(command="local")

    status = commands.add_parser(
        "status", help="show a master's workers and jobs", description="Show a master's workers and jobs."
    )
    status.add_argument("address", metavar="HOST:PORT", help="where the master serves")
    status.add_argument("--json", action="store_true", help="for programs")
    _add_token(status)
    status.set_defaults(command="status")

    _add_token_command(commands.add_parser(
        "token",
        help="show, create, rotate or revoke the tokens of a master on this machine",
        description="Look after the tokens of a master on this machine. One that runs takes up changes within seconds; "
        "workers that are healthy need no restart.",
    ))  # fmt: skip

    return parser


def embedded_parser() -> argparse.ArgumentParser:
    """Of a command that only `Client()` starts, and people do not see listed."""
    parser = argparse.ArgumentParser(prog="manyhands embedded")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--workers", type=_positive, required=True)
    parser.add_argument("--slots", type=_positive, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--ready-fd", type=int, required=True)
    parser.add_argument("--data-dir", type=Path)
    parser.set_defaults(command="embedded")
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


def _add_access(parser: argparse.ArgumentParser) -> None:
    access = parser.add_argument_group("who may come in (default: who has a token; see `manyhands token`)")
    access.add_argument(
        "--tls-cert", default="", metavar="FILE", help="own certificates instead of tokens: the master's"
    )
    access.add_argument("--tls-key", default="", metavar="FILE", help="its key")
    access.add_argument(
        "--tls-ca", default="", metavar="FILE",
        help="who signs the certificates of workers and clients: their common name (CN) tells who they are, their "
        "organizational unit (OU) the role: worker, client, read-only or admin",
    )  # fmt: skip
    access.add_argument(
        "--insecure", action="store_true",
        help="no tokens and no encryption: everybody on this machine can run code as the workers' user; only for "
        "loopback addresses",
    )  # fmt: skip
    access.add_argument(
        "--insecure-any-address", action="store_true",
        help="likewise, at any address: everybody who reaches it can run code as the workers' user",
    )  # fmt: skip


def _add_token(parser: argparse.ArgumentParser) -> None:
    access = parser.add_argument_group(
        "how to be let in (default: the token in MANYHANDS_TOKEN, or what a master of this user has left for it)"
    )
    access.add_argument(
        "--token-file",
        default="",
        metavar="FILE",
        help="a file that holds the token, readable for this user alone",
    )
    access.add_argument("--token", default="", help="the token itself: other users of this machine see it with `ps`")
    access.add_argument(
        "--tls-cert", default="", metavar="FILE", help="own certificates instead of a token: this side's"
    )
    access.add_argument("--tls-key", default="", metavar="FILE", help="its key")
    access.add_argument("--tls-ca", default="", metavar="FILE", help="who signs the master's certificate")


def _add_token_command(token: argparse.ArgumentParser) -> None:
    actions = token.add_subparsers(required=True, metavar="ACTION", dest="action")
    show = actions.add_parser("show", help="print each token, with the command that it is for")
    create = actions.add_parser("create", help="make another token: its name tells whose jobs are whose")
    create.add_argument("--name", required=True, help="who gets it, such as anna")
    create.add_argument("--role", choices=ROLES, default="client", help="what it allows (default: client)")
    create.add_argument("--ttl", type=_lifetime, metavar="TIME", help="it expires after so long: 90m, 12h, 30d")
    rotate = actions.add_parser(
        "rotate", help="give tokens new secrets; who is connected, or will be back, is told the new one"
    )
    rotate.add_argument("name", nargs="*", help="which tokens (default: all)")
    revoke = actions.add_parser("revoke", help="make tokens void: their bearers are sent away")
    revoke.add_argument("name", nargs="+", help="which tokens")
    for action in (show, create, rotate, revoke):
        action.add_argument(
            "--port", type=_port, default=DEFAULT_PORT, help=f"the port of the master (default: {DEFAULT_PORT})"
        )
        action.add_argument("--data-dir", type=Path, metavar="DIR", help="its data directory, if it was given one")
    token.set_defaults(command="token")


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
    """Where a master at a given port keeps its journal and its tokens unless told otherwise.

    See the XDG Base Directory Specification.
    """
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if base else Path.home() / ".local" / "share") / "manyhands" / f"master-{port}"


def access_directory(data_dir: Path) -> Path:
    """Where a master's certificate and tokens are."""
    return data_dir / "access"


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


def _lifetime(text: str) -> float:
    """Seconds."""
    number, unit = text[:-1], text[-1:]
    try:
        seconds = float(number) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
    except (ValueError, KeyError):
        seconds = 0.0
    if not 0.0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a time such as 90m, 12h or 30d, not {text!r}")
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
