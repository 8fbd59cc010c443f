"""Hostile input for tests: damaged bytes, altered JSON, and an answer to either within seconds.

Derandomized: each run of the tests sees the same ones.
"""

from __future__ import annotations

import contextlib
import copy
import pathlib
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
from hypothesis import strategies as st

from bert_glue_tf.core.errors import UserError

SECONDS = 60  # Many times what the slowest takes on a machine that does other things as well.


def fuzz(examples: int) -> Callable[..., Any]:
    """The same examples at each run, and no limit of Hypothesis's own: `answered` has one."""
    return hypothesis.settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


@contextlib.contextmanager
def answered(*also: type[Exception]) -> Iterator[None]:
    """Fails unless the block ends within seconds, with an answer or with a message."""

    def too_long(*_: object) -> None:
        raise AssertionError(f"no answer within {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        yield
    except (UserError, *also) as error:
        text = str(error)
        assert text.strip()
        assert "Traceback" not in text
        # What `cli` writes to a terminal, or to a pipe.
        text.encode("utf-8", "backslashreplace")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def copied(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Give a copy of the folder that may be changed."""
    with tempfile.TemporaryDirectory() as name:
        path = pathlib.Path(name) / "runs"
        shutil.copytree(folder, path)
        yield path


# Where a single byte decides, and bytes that decoders and parsers stumble over.
_SPECIAL = [b"\x00", b"\t", b"\n", b"\r\n", b'"', b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"{",
            b"[" * 50_000, b"-", b"9" * 400, b"1e999", b"NaN", b"null", b"\\ud800",
            "\u2028".encode()]  # fmt: skip
_places = st.floats(0, 1, exclude_max=True)
changes = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), _places, st.integers(0, 7)),
        st.tuples(st.just("cut"), _places, st.integers(0, 40)),
        st.tuples(st.just("insert"), _places, st.sampled_from(_SPECIAL) | st.binary(max_size=8)),
        st.tuples(st.just("truncate"), _places, st.none()),
        st.tuples(st.just("repeat"), _places, st.integers(0, 200)),
    ),
    min_size=1,
    max_size=4,
)


def changed(raw: bytes, how: list[Any]) -> bytes:
    """`raw` after some changes, each at a place that is a share of its length."""
    content = bytearray(raw)
    for kind, share, value in how:
        at = int(share * len(content))
        if kind == "flip" and content:
            content[at] ^= 1 << value
        elif kind == "cut":
            del content[at : at + value]
        elif kind == "insert":
            content[at:at] = value
        elif kind == "truncate":
            del content[at:]
        elif kind == "repeat":
            content[at:at] = content[at : at + value]
    return bytes(content)


_odd_numbers = st.sampled_from([-1, 0, 2**31, 2**63, 10**400, -(10**30), 0.5, -0.0, 1e308])
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | _odd_numbers
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["", "../../x", "\ud800", "nan", "1", "sst2", "\x00", "x" * 300]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=4,
)


@st.composite
def altered(draw: Any, value: Any) -> Any:
    """A JSON value of which one or two parts are another, missing or too many."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 2))):
        part = value
        while True:
            if not part or not isinstance(part, (dict, list)):
                break
            key = draw(
                st.sampled_from(sorted(part) if isinstance(part, dict) else [*range(len(part))])
            )
            if isinstance(part[key], (dict, list)) and part[key] and draw(st.integers(0, 3)):
                part = part[key]
                continue
            what = draw(st.integers(0, 5))
            if what == 0:
                del part[key]
            elif what == 1 and isinstance(part, dict):
                part[draw(st.text(max_size=4))] = draw(_json)
            else:
                part[key] = draw(_json)
            break
    return value
