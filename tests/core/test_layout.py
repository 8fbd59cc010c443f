"""Text for a terminal: prose breaks at words, and what is advised can be pasted."""

from __future__ import annotations

import shlex
import sys

import pytest

from bert_glue_tf.core import layout

PROSE = (
    "--workdir=/a/folder/with/a-long-name/of-one-run: holds a run of another configuration: seed "
    "is 1 there and 2 here. Give another folder, as --workdir=/a/folder/with/a-long-name/of-one-2."
)


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_prose_breaks_between_words_only(columns):
    lines = layout.wrapped(PROSE, columns).split("\n")
    assert " ".join(lines) == PROSE
    words = {word for word in PROSE.split() if len(word) > columns}
    assert all(len(line) <= columns or line in words for line in lines)


def test_lines_of_their_own_and_the_spaces_before_them_stay():
    text = "One.\n\n    Two words of it, and more.\nThree."
    assert layout.wrapped(text, 20) == "One.\n\n    Two words of it,\n    and more.\nThree."
    assert layout.wrapped("12:00:00 one two three", 14, " " * 9) == (
        "12:00:00 one\n         two\n         three"
    )


@pytest.mark.parametrize("columns", [40, 80, 120])
@pytest.mark.parametrize(
    "flags",
    [
        {"runs": "runs/*"},
        {"runs": "a folder/it's $HOME/*", "output": "~/of `date`"},
        {f"flag_{number}": f"value {number}" * number for number in range(1, 8)},
    ],
)
def test_a_command_can_be_pasted_as_it_stands(columns, flags):
    """A shell joins lines that end with a backslash."""
    shown = layout.wrapped("Do this:\n" + layout.command("compare", **flags), columns)
    first, *command = shown.split("\n")
    assert first == "Do this:"
    assert all(line.endswith(" \\") for line in command[:-1])
    words = [f"--{name}={value}" for name, value in flags.items()]
    assert shlex.split(shown.removeprefix("Do this:").replace("\\\n", "")) == (
        ["python", "-m", "bert_glue_tf.compare", *words]
    )
    shortest = max(len(layout.quoted(word)) for word in words) + len("     \\")
    assert max(map(len, command)) <= max(columns, shortest)


def test_a_command_at_the_end_of_a_sentence_gets_a_line_of_its_own():
    text = "One more thing. This times them: python -m bert_glue_tf.benchmark --runs='a b/*'"
    assert layout.wrapped(text, 50) == (
        "One more thing. This times them:\n  python -m bert_glue_tf.benchmark --runs='a b/*'"
    )


def test_the_value_of_a_flag_is_in_quotes_and_not_the_flag():
    assert layout.command("compare", runs="runs/*") == (
        "  python -m bert_glue_tf.compare --runs='runs/*'"
    )
    assert layout.joined(["a b", "--seed=1", "--x="]) == "'a b' --seed=1 --x="


def test_the_width_is_that_of_columns_and_else_of_a_file(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert layout.width() == 120
    monkeypatch.setenv("COLUMNS", "93")
    assert layout.width() == 93
    monkeypatch.setenv("COLUMNS", "1")
    assert layout.width() == 40
    # In a file a line of prose stays one.
    layout.say(PROSE)
    assert capsys.readouterr().out == PROSE + "\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    layout.say(PROSE)
    assert max(map(len, capsys.readouterr().out.splitlines())) < 60
    # Each output is asked for itself.
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    layout.say(PROSE, sys.stderr)
    assert capsys.readouterr() == ("", PROSE + "\n")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    layout.say(PROSE, sys.stderr)
    assert max(map(len, capsys.readouterr().err.splitlines())) < 60
