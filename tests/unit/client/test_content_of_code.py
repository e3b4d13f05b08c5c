"""Which edits of a project change a function's content, and which do not: files, edited, hashed by new processes."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

FILES = {
    "script.py": '''
        """The script."""
        import functools
        import json
        import sys

        import numpy as np

        import model
        from package import tools
        from package.deep import Base, scale as scaled

        LIMIT = 3
        TABLE = {"a": 1}
        UNUSED = 1


        def decorated(function):
            @functools.wraps(function)
            def inner(*args):
                return function(*args)
            return inner


        class Item(Base):
            """An item."""

            size = 4

            def grow(self, by=2):
                """Larger."""
                return self.size + by

            @property
            def half(self):
                return self.size // 2

            @staticmethod
            def double(x):
                return 2 * x


        def make(offset):
            def inner(x):
                return x + offset
            return inner


        shifted = make(10)


        @decorated
        def helper(x, y=5):
            """Helps."""
            return x * LIMIT + y


        def unrelated():
            return UNUSED


        def work(x, *, power=2):
            """Works."""
            total = helper(x) + model.tune(x) + tools.clean(x) + scaled(x)
            try:
                total += TABLE["a"]
            except (KeyError, ValueError):
                return None
            parts = [part ** power for part in (x, total) if part > 1]
            return Item().grow() + sum(parts) + shifted(x) + np.size(parts) + len(json.dumps(parts))


        if __name__ == "__main__":
            from manyhands.client.content_key import content_of

            print(content_of(work).hex())
    ''',
    "model.py": """
        import package.numbers as numbers

        RATE = 7
        OTHER = 8


        def tune(x):
            return x * RATE + numbers.CONSTANT


        def forgotten(x):
            return OTHER
    """,
    "package/__init__.py": "",
    "package/tools.py": """
        from .deep import scale


        def clean(x):
            return scale(x) + (lambda y: y + 1)(x)
    """,
    "package/deep.py": """
        class Base:
            factor = 2

            def base(self):
                return self.factor


        def scale(x):
            return x * Base.factor
    """,
    "package/numbers.py": """
        CONSTANT = 9
        SPARE = 1
    """,
}


def key_of(folder: Path, edits: tuple[str, str, str] | None = None, seed: str = "0") -> str:
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = textwrap.dedent(text)
        if edits is not None and edits[0] == name:
            assert content.count(edits[1]) == 1, f"{edits[1]!r} is not there once"
            content = content.replace(edits[1], edits[2])
        path.write_text(content)
    done = subprocess.run(
        [sys.executable, "-B", folder / "script.py"], cwd=folder, env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> str:
    return key_of(tmp_path_factory.mktemp("original"))


@pytest.mark.parametrize(
    "edit",
    [
        ("script.py", "LIMIT = 3", "LIMIT = 4"),
        ("script.py", '"a": 1', '"a": 2'),
        ("script.py", "y=5", "y=6"),
        ("script.py", "power=2", "power=3"),
        ("script.py", "make(10)", "make(11)"),
        ("script.py", "x + offset", "x - offset"),
        ("script.py", "x * LIMIT + y", "x * LIMIT - y"),
        ("script.py", "KeyError, ValueError", "KeyError, TypeError"),
        ("script.py", "if part > 1", "if part > 2"),
        ("script.py", "self.size + by", "self.size - by"),
        ("script.py", "by=2", "by=3"),
        ("script.py", "size = 4", "size = 5"),
        ("script.py", "self.size // 2", "self.size // 3"),
        ("script.py", "2 * x", "3 * x"),
        ("script.py", "class Item(Base)", "class Item"),
        ("script.py", "return function(*args)", "return function(*args) or 0"),
        ("script.py", "len(json.dumps(parts))", "len(json.loads(parts))"),
        ("model.py", "RATE = 7", "RATE = 8"),
        ("model.py", "x * RATE", "x + RATE"),
        ("package/numbers.py", "CONSTANT = 9", "CONSTANT = 10"),
        ("package/tools.py", "y + 1", "y + 2"),
        ("package/deep.py", "factor = 2", "factor = 3"),
        ("package/deep.py", "x * Base.factor", "x / Base.factor"),
        ("package/deep.py", "return self.factor", "return -self.factor"),
    ],
    ids=lambda edit: f"{edit[0]}: {edit[2]}",
)
def test_edits_that_count(edit: tuple[str, str, str], original: str, tmp_path: Path) -> None:
    assert key_of(tmp_path, edit) != original


@pytest.mark.parametrize(
    "edit",
    [
        ("script.py", "LIMIT = 3", "# A limit.\nLIMIT = 3  # units"),
        ("script.py", '    """Works."""\n', '    """Works.\n\n    At length.\n    """\n\n    # And a comment.\n'),
        ("script.py", '    """Helps."""\n', ""),
        ("script.py", '    """An item."""\n', '    """Another text."""\n'),
        ("script.py", '        """Larger."""\n', ""),
        ("script.py", "UNUSED = 1", "UNUSED = 2"),
        ("script.py", "import sys\n", "\n\n\nimport sys\n"),
        ("script.py", "    except (KeyError, ValueError):\n", "    # Perhaps.\n    except (KeyError, ValueError):\n\n"),
        ("script.py", "(x, total) if part > 1]", "(x, total)\n             if part > 1]"),
        ("model.py", "OTHER = 8", "OTHER = 9"),
        ("model.py", "return OTHER", "return -OTHER"),
        ("package/numbers.py", "SPARE = 1", "SPARE = 2"),
        ("package/__init__.py", "", ""),
    ],
    ids=lambda edit: f"{edit[0]}: {edit[2]}",
)
def test_edits_that_do_not_count(edit: tuple[str, str, str], original: str, tmp_path: Path) -> None:
    assert key_of(tmp_path, edit if edit[1] else None, seed="77") == original


def test_what_a_package_has_counts_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from manyhands.client import content_origin
    from manyhands.client.content_hash import definition_digest

    def work() -> object:
        return np.linalg.norm

    before = definition_digest(work)
    monkeypatch.setattr(content_origin, "_version_of", lambda top: "0.1")
    assert definition_digest(work) != before


def test_imports_inside_of_functions_count(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text("X = 1\n")
    script = tmp_path / "script.py"
    script.write_text(
        "from manyhands.client.content_key import content_of\n"
        "def work():\n    import late\n    import numpy\n    import not_there_at_all\n    return late.X\n"
        "print(content_of(work).hex())\n"
    )

    def key() -> str:
        return subprocess.run(
            [sys.executable, "-B", script], capture_output=True, text=True, check=True, timeout=50
        ).stdout

    before = key()
    assert key() == before
    (tmp_path / "late.py").write_text("X = 2\n")
    assert key() != before
