"""What master and slots say to one another about tasks of a search, around what `optimize` packs."""

from __future__ import annotations

#: What an item begins with, before the points: whether an exception of the objective is the task's, so that it is tried
#: again, or only that point's outcome.
LETS_OUT, KEEPS = b"\1", b"\0"

#: What the payload of a failure begins with, if the text of what an evaluation raised follows. Any other is a pickle of
#: an exception: then there is nothing that could evaluate.
TEXT = b"evaluation: "
