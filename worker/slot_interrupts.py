"""Inside the slot: the agent wants the task that runs to stop, and TaskInterrupted is raised in it.

The agent writes the position of the task it means into the page, then sends a signal. The handler, which Python
runs in the main thread wherever that happens to be, acts only if that task is the one whose code runs at
that moment: `position` is set around exactly that. So a signal that comes late, when the task has ended and the
next one runs, does nothing; nor does one that strikes in the slot's own code, and the agent sends it
again until the task has ended or its patience has.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

from manyhands.wire.errors import TaskInterrupted
from manyhands.worker.page import INTERRUPT

#: Harmless where nobody handles it (it is ignored by default), and hardly used by user code.
SIGNAL = signal.SIGURG


class Interrupts:
    """One for the process. The slot's loop sets `position`, and whoever runs a coroutine `cancel_coroutine`."""

    __slots__ = ("_asked", "_words", "cancel_coroutine", "position")

    def __init__(self, words: memoryview) -> None:
        self._words = words
        self._asked = 0
        #: The task whose code runs right now; 0: none does.
        self.position = 0
        #: Ends the coroutine that runs; in the middle of an event loop an exception would do harm.
        self.cancel_coroutine: Callable[[], object] | None = None

    def install(self) -> None:
        """Handle the signal; main thread only."""
        signal.signal(SIGNAL, self._on_signal)

    def was_asked(self, position: int) -> bool:
        """Whether the task has been told to stop: then that is why it ended, whatever it made of it."""
        return self._asked == position

    def _on_signal(self, *_: object) -> None:
        position = self.position
        # Once a task, or its cleanup would be interrupted in turn.
        if not position or position == self._asked or self._words[INTERRUPT] != position:
            return
        self._asked = position
        if self.cancel_coroutine is None:
            raise TaskInterrupted
        self.cancel_coroutine()
