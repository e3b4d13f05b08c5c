"""What bytes come in, for files that may not know `pickle`: a master's process has nothing that could unpickle."""

from __future__ import annotations

Buffer = bytes | bytearray | memoryview
