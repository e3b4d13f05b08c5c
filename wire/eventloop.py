"""Which event loop: uvloop where there is one, plain asyncio elsewhere or on request."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """For `asyncio.Runner`. MANYHANDS_LOOP=asyncio asks for the plain loop."""
    if os.environ.get("MANYHANDS_LOOP") != "asyncio":
        try:
            import uvloop
        except ImportError:
            pass
        else:
            return uvloop.new_event_loop
    return asyncio.new_event_loop
