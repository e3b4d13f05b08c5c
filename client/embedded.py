"""The embedded cluster: a master and its workers in one daemon process on this machine, owned by one client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import shutil
import site
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from manyhands import _version
from manyhands.wire.errors import ClusterError

#: Seconds that the daemon may take until its first slot is ready.
START_TIMEOUT = 30.0
#: Seconds that the daemon may take to end after it was asked to; then it is killed.
STOP_TIMEOUT = 5.0
#: A socket's path must fit into so many bytes (Linux: 108 with the final zero).
_SOCKET_PATH_BYTES = 100


def default_slots() -> int:
    """One a core that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _environment() -> dict[str, str]:
    """Ours; in an uninstalled checkout with the way to the package."""
    parent = str(Path(_version.__file__).absolute().parent.parent)
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), site.getusersitepackages()}
    environment = dict(os.environ)
    if parent not in installed:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (parent, os.environ.get("PYTHONPATH"))))
    return environment


def _private_directory() -> str:
    directory = tempfile.mkdtemp(prefix="manyhands-")
    if len(os.fsencode(directory)) > _SOCKET_PATH_BYTES - len("/s"):
        Path(directory).rmdir()
        directory = tempfile.mkdtemp(prefix="manyhands-", dir="/tmp")
    return directory


class EmbeddedCluster:
    """A running daemon. It ends by itself when this process does; `stop` ends it earlier."""

    def __init__(self, slots: int, workers: int, data_dir: Path | None = None) -> None:
        """Start it and wait until its first slot is ready. Raises ClusterError with what it said."""
        self.slots = slots
        self.workers = workers
        self._owner = os.getpid()
        self._watcher: asyncio.Task[None] | None = None
        self._directory = _private_directory()
        ready, told = os.pipe()
        try:
            command = [sys.executable, "-P", "-m", "manyhands", "embedded", "--dir", self._directory]
            command += ["--slots", str(slots), "--workers", str(workers)]
            command += ["--parent", str(self._owner), "--ready-fd", str(told)]
            if data_dir is not None:
                command += ["--data-dir", str(data_dir)]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                env=_environment(),
                pass_fds=(told,),
                start_new_session=True,  # Ctrl-C here is not meant for it
            )
            os.close(told)
            told = -1
            self.path = self._read_path(ready)
        except BaseException:
            self.kill()
            raise
        finally:
            os.close(ready)
            if told >= 0:
                os.close(told)

    def _read_path(self, ready: int) -> str:
        """The daemon's one line."""
        line = b""
        deadline = time.monotonic() + START_TIMEOUT
        while not line.endswith(b"\n"):
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not select.select([ready], [], [], remaining)[0]:
                raise ClusterError(f"the embedded cluster was not ready within {START_TIMEOUT:g} s")
            part = os.read(ready, 4096)
            if not part:
                code = self._process.wait(STOP_TIMEOUT)
                raise ClusterError(f"the embedded cluster ended while it started (exit code {code}); see above")
            line += part
        answer = json.loads(line)
        if "error" in answer:
            raise ClusterError(f"the embedded cluster could not start: {answer['error']}")
        path: str = answer["socket"]
        return path

    def kill(self) -> None:
        """From any thread: the start failed, so leave nothing behind."""
        if hasattr(self, "_process"):
            self._process.kill()
            self._process.wait(STOP_TIMEOUT)
        shutil.rmtree(self._directory, ignore_errors=True)

    def announce(self) -> None:
        """One line on a terminal: where, how many slots."""
        if sys.stderr is not None and sys.stderr.isatty():
            slots = "1 slot" if self.slots == 1 else f"{self.slots} slots"
            size = f"{self.workers} workers, {slots} each" if self.workers > 1 else slots
            print(f"manyhands: started a cluster on this machine ({size})", file=sys.stderr)  # noqa: T201

    def watch(self, on_end: Callable[[str], None]) -> None:
        """On the loop's thread: have `on_end` called with a sentence when the daemon ends."""
        loop = asyncio.get_running_loop()

        async def watch() -> None:
            await self._wait_ended(None)
            on_end(f"the embedded cluster ended unexpectedly (exit code {self._process.returncode})")

        self._watcher = loop.create_task(watch())

    async def _wait_ended(self, timeout: float | None) -> bool:
        """Whether the daemon ended within `timeout` seconds."""
        if self._process.poll() is not None:
            return True
        loop = asyncio.get_running_loop()
        try:
            pidfd = os.pidfd_open(self._process.pid)
        except (AttributeError, OSError):  # not Linux, or gone just now
            return await self._poll_ended(timeout)
        ended = loop.create_future()
        loop.add_reader(pidfd, _set, ended)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended, timeout)
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)
        return self._process.poll() is not None

    async def _poll_ended(self, timeout: float | None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._process.poll() is None:
            if deadline is not None and time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    async def stop(self) -> None:
        """On the loop's thread: end the daemon, by force if need be, and remove what it used."""
        if os.getpid() != self._owner:
            return
        if self._watcher is not None:
            self._watcher.cancel()
        self._process.terminate()
        if not await self._wait_ended(STOP_TIMEOUT):
            self._process.kill()
            await self._wait_ended(STOP_TIMEOUT)
        shutil.rmtree(self._directory, ignore_errors=True)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
