"""Which directory a checkpoint's name, or path, means."""

from __future__ import annotations

import os
from pathlib import Path


def checkpoint_directory(checkpoint: str | os.PathLike[str]) -> str:
    """The absolute path of the directory: of that name in the user's data directory, unless it looks like a path.

    A path holds a separator, begins with a dot, or is no string. Raises TypeError, or ValueError for an empty one.
    """
    try:
        text = os.fsdecode(checkpoint)
    except TypeError:
        raise TypeError(f"checkpoint must be a name or the path of a directory, not {checkpoint!r}") from None
    if not text.strip() or "\0" in text:
        raise ValueError(f"checkpoint must be a name or the path of a directory, not {text!r}")
    separators = [each for each in (os.sep, os.altsep) if each]
    is_name = isinstance(checkpoint, str) and not text.startswith((".", "~"))
    if is_name and not any(each in text for each in separators):
        data = os.environ.get("XDG_DATA_HOME", "")
        home = Path(data) if data and Path(data).is_absolute() else Path.home() / ".local" / "share"
        return str(home / "manyhands" / "checkpoints" / text)
    return str(Path(text).expanduser().absolute())
