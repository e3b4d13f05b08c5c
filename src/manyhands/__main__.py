"""The command line: manyhands master, worker, local, status, token."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from manyhands.addresses import DEFAULT_PORT, check_address, check_insecure
from manyhands.arguments import access_directory, command_parser, default_data_dir, embedded_parser

if TYPE_CHECKING:
    from manyhands.keys import MasterKeys
    from manyhands.wire.joining import Keys


def main(argv: list[str] | None = None) -> int:
    """Run one command; return the process's exit code."""
    _open_standard_streams()
    argv = sys.argv[1:] if argv is None else argv
    is_embedded = argv[:1] == ["embedded"]
    arguments = embedded_parser().parse_args(argv[1:]) if is_embedded else command_parser().parse_args(argv)
    # gRPC's own log lines about refused connections repeat what we say in a sentence.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        code = int(_COMMANDS[arguments.command](arguments))
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
        from manyhands.wire.given_certificates import CertificateFault
        from manyhands.wire.joining import KeysFault
        from manyhands.wire.tokens import TokenFault

        if isinstance(error, (ManyhandsError, OSError, KeysFault, TokenFault, CertificateFault)):
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
    data_dir = arguments.data_dir or _own_place(arguments.port)
    config = MasterConfig(
        heartbeat_interval=arguments.heartbeat_timeout / 3,
        heartbeat_timeout=arguments.heartbeat_timeout,
        reconnect_timeout=arguments.reconnect_timeout,
        client_bytes=arguments.client_memory,
    )
    journal = None if arguments.no_journal else data_dir
    with _master_keys(arguments, data_dir) as keys:
        where = arguments.host, arguments.port, journal
        tcp_only = arguments.tcp_only
        return run_daemon(serve_master(*where, config, arguments.drain_timeout, keys, tcp_only=tcp_only))


def _own_place(port: int) -> Path | None:
    """Where a master keeps things unless told otherwise; with port 0, which is any, nowhere."""
    return default_data_dir(port) if port else None


@contextlib.contextmanager
def _master_keys(arguments: argparse.Namespace, data_dir: Path | None) -> Iterator[MasterKeys]:
    """Who may come in. Without a data directory the tokens go with the master."""
    from manyhands import keys
    from manyhands.wire.joining import own_certificates

    if arguments.insecure or arguments.insecure_any_address:
        check_insecure(arguments.host, any_address=arguments.insecure_any_address)
        yield keys.no_keys()
    elif (files := own_certificates(arguments.tls_cert, arguments.tls_key, arguments.tls_ca)) is not None:
        yield keys.own_certificates(files)
    elif data_dir is not None:
        yield keys.token_keys(access_directory(data_dir), _show_command(arguments))
    else:
        passing = keys.PassingDirectory()
        try:
            yield keys.token_keys(passing.path)
        finally:
            passing.remove()


def _show_command(arguments: argparse.Namespace) -> str:
    """What prints the tokens of the master that was started with these."""
    command = "manyhands token show"
    if getattr(arguments, "data_dir", None) is not None:
        return f"{command} --data-dir {shlex.quote(str(arguments.data_dir))}"
    return command if arguments.port == DEFAULT_PORT else f"{command} --port {arguments.port}"


def _joining_keys(arguments: argparse.Namespace) -> Keys:
    """What to join a master with."""
    from manyhands.wire.joining import make_keys

    if arguments.token:
        print(
            "manyhands: warning: every user of this machine can read a --token with `ps`; use MANYHANDS_TOKEN or "
            "--token-file",
            file=sys.stderr,
        )
    return make_keys(arguments.token, arguments.token_file, arguments.tls_cert, arguments.tls_key, arguments.tls_ca)


def _worker(arguments: argparse.Namespace) -> int:
    from manyhands.worker.reaper import Reaper

    address = check_address(arguments.address)
    keys = _joining_keys(arguments)
    with Reaper() as reaper:  # before the rest is imported: it is a fork of what is here
        from manyhands.daemons import run_daemon, serve_worker
        from manyhands.wire.joining import Way
        from manyhands.worker.peers import Peers

        _log(arguments.verbose)
        way = Way(address, "worker", keys)
        peers = Peers(way, serves=arguments.peers, host=arguments.data_host, port=arguments.data_port)
        size, store = (arguments.slots, arguments.memory), (arguments.store_dir, arguments.store_memory)
        return run_daemon(serve_worker(way, peers, arguments.name, *size, *store, arguments.drain_timeout, reaper))


def _local(arguments: argparse.Namespace) -> int:
    from manyhands.worker.reaper import Reaper

    with Reaper() as reaper:
        from manyhands.daemons import run_daemon, serve_local

        _log(arguments.verbose)
        where, size = (arguments.host, arguments.port), (arguments.workers, arguments.slots, arguments.memory)
        with _master_keys(arguments, _own_place(arguments.port)) as keys:
            tcp_only = arguments.tcp_only
            return run_daemon(serve_local(*where, *size, arguments.drain_timeout, reaper, keys, tcp_only=tcp_only))


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
    reply = fetch_status(address, _joining_keys(arguments))
    if arguments.json:
        print(json.dumps(reply, indent=2))
    else:
        print_status(address, reply)
    return 0


def _token(arguments: argparse.Namespace) -> int:
    from manyhands import token_command

    directory = access_directory(arguments.data_dir or default_data_dir(arguments.port))
    match arguments.action:
        case "show":
            token_command.show(directory)
        case "create":
            token_command.create(directory, arguments.name, arguments.role, arguments.ttl)
        case "rotate":
            token_command.rotate(directory, arguments.name)
        case "revoke":
            token_command.revoke(directory, arguments.name)
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "master": _master,
    "worker": _worker,
    "local": _local,
    "status": _status,
    "token": _token,
    "embedded": _embedded,
}


if __name__ == "__main__":
    sys.exit(main())
