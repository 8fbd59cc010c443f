"""Messages of errors: a test asserts class and names, and the wordings stand in one file.

`refuses` and `says` keep each message that they meet. At the end of a run of pytest all of them
are compared with `tests/snapshots/messages.txt`, whether the tests ran in one process or in many:
a message that is not there is one failed test, however many have provoked it. A run of all tests
names the lines that no test provokes any more. `pytest --update-messages` writes the file.

A message is one line, its further lines indented; folders, ports, addresses and lists of four and
more names are placeholders, and what no terminal shows is escaped.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
import pathlib
import re
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SNAPSHOT = ROOT / "tests" / "snapshots" / "messages.txt"

# What differs from machine to machine and from run to run, and what changes with each new method,
# setting or task: lists of four and more names. A temporary folder is one of pytest, of one of its
# processes, or of `tempfile`.
_TMP = re.escape(tempfile.gettempdir())
_OF_OTHERS = (
    "Assertion|DataLoss|FileNotFound|Index|InvalidArgument|JSONDecode|Op|Parse|Safetensor|"
    "UnicodeDecode"
)
_VOLATILE = (
    (
        rf"{_TMP}/pytest-of-[^/\s]+/pytest-\d+(/popen-\w+)?/[^/\s:]*?\d(?!\d)(?=-\d|[^\w\[\]-]|$)",
        "TMP",
    ),
    (rf"{_TMP}/tmp\w+", "TMP"),
    (rf"{_TMP}/pytest[^\s'\"]*", "TMP"),  # Cut short by the message.
    (re.escape(str(ROOT)), "ROOT"),
    (re.escape(str(pathlib.Path.home())) + r"(?=[/\s:])", "HOME"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    # Where a disk is full: which file it was, and how far.
    (r"(the disk is full\..* saved\.)\n.*", r"\1\n(...)"),
    # Before the digests, of which `111...` is none.
    (r"(.)\1{9,}\.\.\.", r"\1..."),
    (r"\b0x[0-9a-f]{6,}\b", "ADDRESS"),
    (r"\b[0-9a-f]{12,64}\b|(?<=-)[0-9a-f]{6}\b", "DIGEST"),
    (r"\(number \d+\)", "(number N)"),
    (r"line \d+ column \d+( \(char \d+\))?", "line L column C"),
    # The words of TensorFlow and others, which may be cut short where a folder's name is long.
    (rf"\b((?:{_OF_OTHERS})Error: ).*|(\w+Error: ).*(?:{_TMP}|TMP).*", r"\1\2..."),
    (r"Read-only file system|Permission denied", "NO PERMISSION"),
    (r"(.)\1{20,}", r"\1..."),
    (r"([\w.]+, ){3,}(or )?\w+|([\w.]+, ){2,}\w+ (and|or) \w+", "NAMES"),
    (r"\b\d\.\d+e[+-]\d\d\b", "NUMBER"),
)

# Names of the properties of a test's report, which travel from pytest-xdist's processes.
_SAID, _UNSAID = "message", "messages of a skipped test"
_said: list[str] = []  # By the test that runs now.


def plain(message: str) -> str:
    """Return a message as the snapshot holds it."""
    for pattern, placeholder in _VOLATILE:
        message = re.sub(pattern, placeholder, message)
    lines = (line.strip() for line in message.strip().split("\n"))
    return "\n  ".join(
        "".join(c if c.isprintable() else repr(c)[1:-1] for c in line) for line in lines
    )


def says(message: str, *names: object) -> None:
    """Assert that a message names the flags and values; keep its wording for the snapshot."""
    for name in names:
        assert str(name) in message, f"{name!s} is not named in: {message}"
    _said.append(plain(message))


@contextlib.contextmanager
def refuses(kind: type[BaseException], *names: object) -> Iterator[pytest.ExceptionInfo[Any]]:
    """Assert that the block raises an error of this class, whose message names all of `names`."""
    with pytest.raises(kind) as caught:
        yield caught
    says(str(caught.value), *names)


def refused(done: subprocess.CompletedProcess[Any], *names: object) -> str:
    """Assert that a command ended as after a user's mistake: status 2, one message, no traceback.

    The message stands at the end of stderr, after `error: `, and names all of `names`. Returns it.
    """
    stderr = done.stderr.decode() if isinstance(done.stderr, bytes) else done.stderr
    assert done.returncode == 2, stderr
    assert "Traceback" not in stderr
    # Log lines begin with the time, and a command that was called has told its own error before.
    _, *messages = re.split(r"^error: ", stderr, flags=re.MULTILINE)
    assert messages, stderr
    message = messages[-1].strip()
    says(message, *names)
    return message


def read() -> set[str]:
    """Return the messages of the snapshot."""
    text = SNAPSHOT.read_text(encoding="utf-8")
    return {message.rstrip("\n") for message in re.split(r"\n(?!  )", text) if message}


def write(messages: set[str]) -> None:
    """Write the snapshot, sorted."""
    SNAPSHOT.write_text("".join(f"{message}\n" for message in sorted(messages)), encoding="utf-8")


class Snapshot:
    """Pytest's hooks: collects what the tests have met, and compares it at the end of the run."""

    def __init__(self) -> None:
        self.said: set[str] = set()
        self.whole = True  # Each test has run that may provoke a message.

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        report: Any = yield
        report.user_properties += [(_SAID, message) for message in _said]
        _said.clear()
        if report.skipped and re.search(r"\b(refuse[sd]|says)\(", inspect.getsource(item.function)):
            report.user_properties.append((_UNSAID, item.nodeid))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.said |= {str(text) for name, text in report.user_properties if name == _SAID}
        self.whole &= not report.failed and _UNSAID not in dict(report.user_properties)

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.whole &= not items

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workerinput"):  # One process of several; the first compares.
            return
        options = session.config.option
        self.whole &= session.config.args_source.name == "TESTPATHS" and not options.keyword
        self.whole &= not options.markexpr and session.exitstatus == pytest.ExitCode.OK
        known = read()
        new, stale = self.said - known, (known - self.said if self.whole else set())
        if options.update_messages:
            write((known | new) - stale)
        elif new:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            where = str(SNAPSHOT.relative_to(ROOT))
            told = "\n".join(explain(new, stale, known - self.said))
            session.config.hook.pytest_runtest_logreport(
                report=pytest.TestReport(where, (where, None, where), {}, "failed", told, "call")
            )
        elif stale:
            # No failure: whether a test provokes a message may depend on the machine.
            print("\n".join(["", *explain(new, stale, known - self.said)]))


def explain(new: set[str], stale: set[str], unseen: set[str]) -> list[str]:
    """Return the lines that say what differs: each new message, and the known one nearest to it."""
    lines = []
    for message in sorted(new):
        near = difflib.get_close_matches(message, unseen, n=1)
        lines += [f"- {old}" for old in near] + [f"+ {message}"]
    shown = {line[2:] for line in lines}
    lines += [f"- {message}   (no test provokes it)" for message in sorted(stale - shown)]
    where = SNAPSHOT.relative_to(ROOT)
    return [*lines, f"If that is meant, run pytest with --update-messages: it writes {where}."]
