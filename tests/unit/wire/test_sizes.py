"""Sizes as people write and read them."""

from __future__ import annotations

import pytest

from manyhands.wire.sizes import parse_bytes, shown


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (1, 1), ("1", 1), ("17 B", 17), ("4GiB", 4 << 30), (" 1.5 GiB ", 3 << 29), ("500MB", 500_000_000),
        ("500 mb", 500_000_000), ("2kib", 2048), ("0.1TB", 10**11), (7 << 40, 7 << 40),
    ],
)  # fmt: skip
def test_read(written: int | str, size: int) -> None:
    assert parse_bytes(written) == size


@pytest.mark.parametrize("value", [True, 1.5, None, b"4GiB", ["4GiB"]])
def test_what_is_no_size(value: object) -> None:
    with pytest.raises(TypeError, match="must be a size such as"):
        parse_bytes(value)


@pytest.mark.parametrize("text", ["", "GiB", "4 G", "4gigs", "-4GiB", "4GiB 3", "1e9", "\u0661GiB", "4,5GiB", ".5GiB"])
def test_what_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match="must be a size such as"):
        parse_bytes(text)


@pytest.mark.parametrize("value", [0, -1, "0", "0.1B", "0GiB", 1 << 63, "9999999999TiB"])
def test_what_is_too_little_or_too_much(value: int | str) -> None:
    with pytest.raises(ValueError, match="at least 1 byte"):
        parse_bytes(value)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1 << 20, "1 MiB"),
        (3 << 29, "1.5 GiB"),
        (5 << 50, "5120 TiB"),
        (1234567, "1.177 MiB"),
    ],
)
def test_shown(size: int, text: str) -> None:
    assert shown(size) == text
