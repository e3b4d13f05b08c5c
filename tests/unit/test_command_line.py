"""The command line's own part: arguments and help, before anything is started."""

import pytest

from manyhands.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["worker", "127.0.0.1", "--slots", "0"], "argument --slots: must be a whole number from 1, not '0'"),
        (["worker", "127.0.0.1", "--memory", "4G"], 'argument --memory: must be a size such as "4GiB"'),
        (["worker", "127.0.0.1", "--store-memory", "4G"], 'argument --store-memory: must be a size such as "4GiB"'),
        (["local", "--memory", "0"], "argument --memory: must be at least 1 byte"),
        (["worker", "127.0.0.1", "--slots", "two"], "argument --slots: must be a whole number from 1, not 'two'"),
        (["local", "--workers", "-1"], "argument --workers: must be a whole number from 1, not '-1'"),
        (["master", "--port", "65536"], "argument --port: must be a number from 0 to 65535, not '65536'"),
        (["worker"], "the following arguments are required: HOST:PORT"),
        (["wroker"], "invalid choice: 'wroker' (choose from "),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_wrong_arguments(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    output = capsys.readouterr().err
    assert sentence in output
    assert output.startswith("usage: manyhands")
    assert "embedded" not in output  # a command for Client() only


def help_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--help"])
    return capsys.readouterr().out


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of([], capsys)
    assert text.startswith("usage: manyhands ")
    assert all(f"  {name} " in text for name in ("master", "worker", "local", "status"))
    assert "embedded" not in text


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("master", ["--host", "--port", "--data-dir"]),
        ("worker", ["HOST:PORT", "--slots", "--memory", "--name", "--store-dir", "--store-memory"]),
        ("local", ["--host", "--port", "--workers", "--slots"]),
        ("status", ["HOST:PORT", "--json"]),
    ],
)
def test_help_of_a_command(command: str, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of([command], capsys)
    assert text.startswith(f"usage: manyhands {command} ")
    assert all(f"  {option}" in text for option in options)


def test_memory_is_not_limited_where_nobody_counts_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("manyhands.worker.private_memory.sys.platform", "darwin")
    with pytest.raises(SystemExit, match="2"):
        main(["worker", "127.0.0.1", "--memory", "4GiB"])
    assert "memory can only be limited on Linux" in capsys.readouterr().err
