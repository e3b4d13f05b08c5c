"""What a datum is named by: random bytes.

A hash of its content would take longer than to write it, and ten times as long as to compare it with what is likely
to be the same.
"""

from __future__ import annotations

ID_BYTES = 16
