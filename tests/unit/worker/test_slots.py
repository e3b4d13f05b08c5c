"""The slots' shell: what it writes arrives whole, whatever the pipe takes at once."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
from collections.abc import Callable
from typing import cast

import pytest

from manyhands.worker import page
from manyhands.worker.output import OutputStream
from manyhands.worker.reports import Report
from manyhands.worker.slot_frames import Buffer
from manyhands.worker.slot_process import SlotProcess, slot_environment
from manyhands.worker.slots import SlotShell


class Deaf:
    def on_reports(self, slot: int, reports: list[Report]) -> None: ...
    def on_death(self, slot: int, exit_code: int, stderr_tail: str) -> None: ...


def written(parts: list[Buffer], read: Callable[[int], bytes]) -> bytes:
    """What arrives at the other end of a slot's pipe."""

    async def story() -> bytes:
        stream = OutputStream(io.BytesIO(), "test")
        shell = SlotShell(0, "w", Deaf(), stream, stream)
        theirs, ours = os.pipe()
        os.set_blocking(ours, False)
        os.set_blocking(theirs, False)
        fd = page.create()
        popen = cast("subprocess.Popen[bytes]", None)
        shell._process = SlotProcess(popen, page.Page(fd), ours, -1, -1, -1)
        os.close(fd)
        shell.write(parts)
        shell.write([b"the end"])
        data = b""
        while not data.endswith(b"the end"):
            try:
                data += read(theirs)
            except BlockingIOError:
                await asyncio.sleep(0)
        assert not shell._unwritten
        shell._process.page.close()
        os.close(theirs)
        os.close(ours)
        stream.close(1.0)
        return data

    return asyncio.run(story())


@pytest.mark.parametrize("count", [1, 1024, 1025, 5000])
def test_more_parts_than_a_system_call_takes(count: int) -> None:
    parts: list[Buffer] = [b"%d;" % k for k in range(count)]
    assert written(parts, lambda fd: os.read(fd, 1 << 20)) == b"".join(parts) + b"the end"


def test_more_bytes_than_the_pipe_holds() -> None:
    parts: list[Buffer] = [os.urandom(1000), memoryview(os.urandom(300_000)), b"", os.urandom(7)]
    assert written(parts, lambda fd: os.read(fd, 7777)) == b"".join(parts) + b"the end"


def test_environment_of_a_slot() -> None:
    environment = slot_environment({"OMP_NUM_THREADS": "4", "HOME": "/home/u"})
    assert environment["OMP_NUM_THREADS"] == "4"
    assert environment["MKL_NUM_THREADS"] == "1"
    assert environment["HOME"] == "/home/u"
    assert environment["MANYHANDS_SLOT"] == "1"
