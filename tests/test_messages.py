"""The snapshot of messages: what is compared, what fails, and what a run writes."""

from __future__ import annotations

import tempfile
import types

import messages
import pytest


def test_a_message_is_the_same_on_every_machine(tmp_path):
    for message, expected in (
        (f"--workdir={tmp_path}/run: {tmp_path}-2, {tmp_path}.", "--workdir=TMP/run: TMP-2, TMP."),
        (f"'{tempfile.gettempdir()}/tmpab12_/x'", "'TMP/x'"),
        (f"{messages.ROOT}/docs\n    two", "ROOT/docs\n  two"),
        ("http://127.0.0.1:4711/a <f at 0x7f00aa11>", "http://127.0.0.1:PORT/a <f at ADDRESS>"),
        (f"was {'0a' * 32}, run cola-3946ba", "was DIGEST, run cola-DIGEST"),
        ("Good values: a, b.c, d_e, f. Or", "Good values: NAMES. Or"),
        ("Good values: a, b, c.", "Good values: a, b, c."),
        ("a\tb\0", "a\\tb\\x00"),
    ):
        assert messages.plain(message) == expected


def test_what_is_not_named_and_another_class_fail():
    with pytest.raises(AssertionError), messages.refuses(ValueError, "--a", 2):
        raise ValueError("--a=1")
    with pytest.raises(KeyError), messages.refuses(ValueError, "--a"):
        raise KeyError("--a")


@pytest.fixture
def finish(tmp_path, monkeypatch):
    """finish(said, update, keyword) -> exit status, and what a run fails with at its end."""
    monkeypatch.setattr(messages, "ROOT", tmp_path)
    monkeypatch.setattr(messages, "SNAPSHOT", tmp_path / "messages.txt")
    messages.write({"--a=1: too small.", "--b: one\n  of two"})

    def finish(said, update=False, keyword=""):
        snapshot = messages.Snapshot()
        snapshot.said = said
        option = types.SimpleNamespace(keyword=keyword, markexpr="", update_messages=update)
        source = types.SimpleNamespace(name="TESTPATHS")
        failed = []
        hook = types.SimpleNamespace(pytest_runtest_logreport=lambda report: failed.append(report))
        config = types.SimpleNamespace(option=option, args_source=source, hook=hook)
        session = types.SimpleNamespace(config=config, exitstatus=pytest.ExitCode.OK)
        snapshot.pytest_sessionfinish(session)
        return int(session.exitstatus), [report.longrepr for report in failed]

    return finish


def test_a_run_with_the_same_messages_passes(finish):
    assert finish({"--a=1: too small.", "--b: one\n  of two"}) == (0, [])
    assert finish({"--a=1: too small."}, keyword="a") == (0, [])


def test_another_wording_fails_once_beside_the_one_that_is_nearest(finish):
    status, told = finish({"--a=1: too little.", "--b: one\n  of two"})
    assert status == 1
    assert len(told) == 1
    assert told[0].startswith("- --a=1: too small.\n+ --a=1: too little.\n")
    assert "--update-messages" in told[0]


def test_a_line_that_nobody_provokes_is_told_in_a_whole_run_alone(finish, capsys):
    assert finish({"--a=1: too small."}) == (0, [])
    assert "- --b: one\n  of two   (no test provokes it)" in capsys.readouterr().out
    assert finish({"--a=1: too small."}, keyword="a") == (0, [])
    assert capsys.readouterr().out == ""


def test_an_update_of_a_part_adds_and_one_of_all_removes(finish):
    new = "--c: third"
    assert finish({new}, update=True, keyword="c") == (0, [])
    assert messages.read() == {"--a=1: too small.", "--b: one\n  of two", new}
    assert finish({new}, update=True) == (0, [])
    assert messages.read() == {new}
