"""The slot process: one user task at a time, nothing of the cluster's machinery. Started by `slot_process`."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import signal
import sys
from typing import NoReturn

from manyhands.worker.page import Page, seal
from manyhands.worker.slot_codec import SlotCodec
from manyhands.worker.slot_loop import SlotLoop
from manyhands.worker.slot_pipes import AgentGone

_PR_SET_PDEATHSIG = 1


def main() -> NoReturn:
    """Arguments: pipe to read, pipe to write, page (descriptors), the agent's pid, the worker's name in errors."""
    inbox, outbox, page, agent = map(int, sys.argv[1:5])
    place = sys.argv[5]
    _die_with(agent)
    for fd in (inbox, outbox, page):
        os.set_inheritable(fd, False)
    sys.argv = [""]  # ours are nothing to a user's code
    faulthandler.enable()
    # A line reaches the worker's terminal when it is complete; the agent tags lines.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream here
    # Ctrl-C is the agent's business. Unlike SIG_IGN this is not passed on to the user's subprocesses.
    signal.signal(signal.SIGINT, lambda *_: None)
    shared = Page(page)
    seal(page)
    os.close(page)
    loop = SlotLoop(inbox, outbox, shared, SlotCodec(place))
    loop.interrupts.install()
    # A child that user code forks must not speak for the slot.
    os.register_at_fork(after_in_child=loop.disown)
    gc.freeze()
    try:
        loop.run()
    except AgentGone:
        # Not sys.exit: threads that user code left behind could keep it from ending.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    raise AssertionError("the loop ends only with the agent")


def _die_with(agent: int) -> None:
    """Be killed when the agent's thread that started us ends; leave at once if it already has."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != agent:
        os._exit(0)


if __name__ == "__main__":
    main()
