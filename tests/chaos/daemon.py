"""The command line of manyhands; on SIGUSR1 it writes to stderr what each of its coroutines waits for."""

import asyncio
import gc
import signal
import sys
from types import FrameType

from manyhands.__main__ import main


def tell(number: int, frame: FrameType | None) -> None:
    """The chains of awaits: `Task.print_stack` shows but the outermost of them."""
    for each in gc.get_objects():
        if isinstance(each, asyncio.Task) and not each.done():
            print(each.get_name(), file=sys.stderr)
            waiting = each.get_coro()
            while waiting is not None:
                at = getattr(waiting, "cr_frame", None)
                line = f"{at.f_code.co_filename}:{at.f_lineno} " if at is not None else ""
                print(f"    {line}{waiting!r}", file=sys.stderr)
                waiting = getattr(waiting, "cr_await", None)
    sys.stderr.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, tell)
    sys.exit(main())
