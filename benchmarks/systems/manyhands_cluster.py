"""Owns the ways manyhands is measured: a cluster embedded in the client, and separate daemons, as they are found on
one machine (over a Unix socket) and as they talk between hosts (gRPC).
"""

import operator
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, cast

from benchmarks.readings import SLOTS
from benchmarks.systems.protocol import Function
from benchmarks.texts import counts_of, pairs_of

if TYPE_CHECKING:
    from manyhands import Client

#: Seconds a daemon may take to come up or to end after SIGTERM.
DAEMON_TIMEOUT = 20.0


class _Manyhands:
    """What both ways share: everything goes through one public Client."""

    _client: "Client"

    @property
    def client(self) -> "Client":
        return self._client

    def submit(self, function: Function, *arguments: object) -> object:
        return self._client.submit(function, *arguments)

    def gather(self, handles: Sequence[object]) -> list[object]:
        return [future.result() for future in cast("Sequence[Future[object]]", handles)]

    def map(self, function: Function, items: Iterable[object], *, chunksize: int | None = None) -> Iterator[object]:
        return iter(self._client.map(function, items))


class ManyhandsEmbedded(_Manyhands):
    name = "manyhands-embedded"

    def start(self) -> None:
        from manyhands import Client

        self._client = Client(slots=SLOTS)
        self._client.wait_for_workers(1, timeout=DAEMON_TIMEOUT)

    def stop(self) -> None:
        self._client.shutdown(wait=True, cancel_futures=True)


class ManyhandsTwoWorkers(ManyhandsEmbedded):
    """As many slots, in two workers: what they share is not within one."""

    name = "manyhands-two-workers"

    def start(self) -> None:
        from manyhands import Client

        self._client = Client(workers=SLOTS, slots=1)
        self._client.wait_for_workers(SLOTS, timeout=DAEMON_TIMEOUT)

    def share(self, value: object) -> object:
        return self._client.put(value)

    def count_words(self, paths: Sequence[str]) -> Mapping[str, int]:
        return self._client.map_reduce_by_key(pairs_of, paths, operator.add)

    def count_words_by_counters(self, paths: Sequence[str]) -> Mapping[str, int]:
        return self._client.map_reduce_by_key(counts_of, paths, operator.add)


class ManyhandsSeparate(_Manyhands):
    """As users have it, with a journal."""

    name = "manyhands-separate"
    master_options: tuple[str, ...] = ()
    keeps_journal = True

    def start(self) -> None:
        from manyhands import Client

        self._daemons: list[subprocess.Popen[bytes]] = []
        port = _free_port()
        self.address = f"127.0.0.1:{port}"
        scratch = tempfile.mkdtemp(prefix="journal", dir=os.environ.get("BENCH_SCRATCH"))
        journal = ("--data-dir", scratch) if self.keeps_journal else ("--no-journal",)
        self._master = "master", "--host", "127.0.0.1", "--port", str(port), *journal, *self.master_options
        self._start_daemon(*self._master)
        _wait_for_port(port, self._daemons[0])
        self.start_worker()
        self._client = Client(self.address)
        self._client.wait_for_workers(1, timeout=DAEMON_TIMEOUT)

    def start_worker(self) -> subprocess.Popen[bytes]:
        """One more."""
        return self._start_daemon("worker", self.address, "--slots", str(SLOTS))

    def restart_master(self) -> None:
        """As after a crash: with its journal, at its address."""
        self._daemons[0].kill()
        self._daemons[0].wait()
        self._start_daemon(*self._master)
        self._daemons[0] = self._daemons.pop()

    def stop(self) -> None:
        try:
            if hasattr(self, "_client"):
                self._client.shutdown(wait=True, cancel_futures=True)
        finally:
            for daemon in reversed(self._daemons):
                daemon.terminate()
                try:
                    daemon.wait(DAEMON_TIMEOUT)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()

    def _start_daemon(self, *arguments: str) -> subprocess.Popen[bytes]:
        scratch = tempfile.mkdtemp(prefix=arguments[0], dir=os.environ.get("BENCH_SCRATCH"))
        command = [sys.executable, "-m", "manyhands", *arguments]
        with (Path(scratch) / "output").open("wb") as output:
            self._daemons.append(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=scratch)
            )
        return self._daemons[-1]


class ManyhandsTcp(ManyhandsSeparate):
    """As between hosts. Worker and client find the token that the master has left for its user."""

    name = "manyhands-tcp"
    master_options: tuple[str, ...] = ("--tcp-only",)
    #: What its port negotiates.
    tls: str | None = "TLSv1.3"

    def start(self) -> None:
        super().start()
        if (spoken := _tls_version(self.address)) != self.tls:
            raise RuntimeError(f"the port of {self.name} negotiates {spoken}, not {self.tls}")


class ManyhandsPlain(ManyhandsTcp):
    """The same without TLS and token."""

    name = "manyhands-plain"
    master_options = (*ManyhandsTcp.master_options, "--insecure")
    tls = None


class ManyhandsWithoutJournal(ManyhandsSeparate):
    name = "manyhands-no-journal"
    keeps_journal = False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tls_version(address: str) -> str | None:
    """None if nothing there speaks TLS."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])  # without which gRPC hangs up
    try:
        with socket.create_connection((host, int(port)), DAEMON_TIMEOUT) as plain, context.wrap_socket(plain) as secure:
            return secure.version()
    except ssl.SSLError:
        return None


def _wait_for_port(port: int, daemon: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + DAEMON_TIMEOUT
    while time.monotonic() < deadline:
        if daemon.poll() is not None:
            raise RuntimeError(f"the master ended at once with exit code {daemon.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"no master listened on port {port} within {DAEMON_TIMEOUT:.0f} s")
