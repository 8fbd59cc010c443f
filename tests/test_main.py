"""The list of commands."""

from __future__ import annotations

import configparser
import pathlib

from bert_glue_tf import __main__ as listing

ROOT = pathlib.Path(__file__).parents[1]


def test_the_list_has_every_command_that_is_installed(capsys, monkeypatch):
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    scripts = setup["options.entry_points"]["console_scripts"].split("\n")
    modules = {line.split("bert_glue_tf.")[1].split(":")[0] for line in scripts if line}
    assert set(listing.commands()) == modules
    monkeypatch.setattr("sys.argv", ["bert_glue_tf"])
    assert listing.main() == 0
    printed = capsys.readouterr().out
    assert all(f"python -m bert_glue_tf.{module}\n" in printed for module in modules)


def test_a_command_without_its_dot_is_refused(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["bert_glue_tf", "train"])
    assert listing.main() == 2
    assert capsys.readouterr().err.startswith("error: train: a command is named behind a dot")
