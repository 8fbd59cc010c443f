"""The tables, sentences and page of a compression."""

from __future__ import annotations

import json
import re

import budgets
import pytest

from bert_glue_tf.budget import page, steps, tables
from bert_glue_tf.budget.folder import CompressFolder
from bert_glue_tf.budget.record import Outcome, Step, Trial
from bert_glue_tf.budget.settings import CompressSettings
from bert_glue_tf.budget.steps import Planned, Steps
from bert_glue_tf.core import quantities
from bert_glue_tf.evaluation import cost
from bert_glue_tf.reports import terminal


def test_the_result_says_sizes_speed_and_the_difference_with_its_interval():
    found = budgets.outcome()
    assert tables.headline(found) == (
        "90.5 MB to 6.00 MB, 10.0 times as fast, accuracy -0.0049 (95 % interval -0.031 to +0.020)."
    )
    rows = {row[""]: row for row in tables.bought(found).texts()}
    assert rows["size"]["bought"] == "15.1 times smaller"
    assert rows["one text of 64 pieces"]["file"] == "2.50 ms"
    assert rows["accuracy"]["original"] == "0.8088"
    assert rows["accuracy"]["bought"] == "-0.0049 (-0.031 to +0.020)"


def test_predicted_and_measured_stand_side_by_side():
    size, time = tables.predicted(budgets.outcome()).texts()
    assert (size["predicted"], size["measured"], size["off by"]) == ("5.90 MB", "6.00 MB", "+1.7 %")
    assert (time["predicted"], time["measured"], time["off by"]) == ("2.40 ms", "2.50 ms", "+4.2 %")
    assert not tables.predicted(budgets.outcome(predicted={})).rows


def test_a_prediction_that_was_far_off_is_told_of():
    def said(**predicted):
        notes = tables.notes(budgets.outcome(predicted=predicted))
        return [line for line in notes if "predicted" in line]

    assert said() == said(bytes=5.9e6, ms=2.4) == []
    assert said(bytes=5.9e6, ms=2.0) == [
        "The time is 25.0 % more than the costs of the parts predicted: files of other sizes may "
        "have been nearer to the budget."
    ]
    assert said(bytes=8e6, ms=2.0)[0].startswith("The size is 25.0 % less and the time is 25.0 % m")


def beside_parts(predicted, measured, busy="", **changed):
    """The last row of the predictions, and what is noted on them, of a time with its parts.

    By the costs of before it is 2.40 ms, and 2.50 ms beside the original.
    """
    told = {"predicted": predicted, "measured": measured, "busy": busy}
    found = budgets.outcome(in_turns=told, **changed)
    assert Outcome.from_line(found.to_line()).in_turns == found.in_turns
    *_, row = tables.predicted(found).texts()
    assert row[""] == "time, in turns with its parts"
    return row["off by"], " ".join(tables.notes(found)[3:])


def test_a_prediction_is_judged_in_the_session_that_timed_the_parts_as_well():
    assert beside_parts(2.5, 2.6) == ("+4.0 %", "")
    off, note = beside_parts(2.25, 2.7)
    assert off == "+20.0 %"
    assert note.startswith("The time is 20.0 % more than the costs of the parts predicted")
    assert "pace" not in note


def test_another_pace_of_the_machine_is_told_of():
    off, note = beside_parts(1.2, 1.3)
    assert off == "+8.3 %"
    assert note.startswith("By the costs that the structures")
    assert "would take 2.40 ms; by those of the last session, 1.20 ms, 50.0 % less" in note
    assert "The file takes 2.50 ms in turns with the original and 1.30 ms in turns" in note
    assert note.endswith("--threads=1 does not.")
    assert "--threads" not in beside_parts(1.2, 1.3, threads=1)[1]
    _, note = beside_parts(2.4, 3.0)
    assert "2.50 ms in turns with the original and 3.00 ms" in note
    assert "By the costs" not in note


def test_of_a_busy_session_with_the_parts_nothing_more_is_concluded():
    _, note = beside_parts(1.2, 1.3, busy="Others were at work.")
    assert note == "Of the session with its parts: Others were at work."


def test_a_budget_that_is_not_kept_is_said_with_what_is_nearest():
    kept = tables.notes(budgets.outcome())
    assert kept[0] == "The budget is kept: at most 6 MB and 3 ms."
    missed = tables.notes(budgets.outcome(missed={"max_mb": 6.31, "max_drop": 0.0213}))
    assert missed[0].startswith("No file keeps the budget (at most 6 MB and 3 ms).")
    assert "6.31 MB and 0.0213 of the score lost" in missed[0]


def test_a_file_that_kept_the_budget_when_it_was_chosen_is_not_told_as_one_that_never_did():
    late = budgets.outcome(missed={"max_ms": 3.04}, kept_when_chosen={"max_ms": 2.98})
    assert tables.notes(late)[0].startswith(
        "The budget (at most 6 MB and 3 ms) was kept when the file was chosen (2.98 ms); the "
        "exported file has 3.04 ms"
    )
    both = {"max_mb": 6.31, "max_ms": 3.04}
    never = budgets.outcome(missed=both, kept_when_chosen={"max_ms": 2.98})
    assert tables.notes(never)[0].startswith("No file keeps the budget")
    assert Outcome.from_line(late.to_line()).kept_when_chosen == {"max_ms": 2.98}


def test_who_reads_the_result_is_told_of_the_sample_and_of_texts_that_were_seen():
    seen = {**budgets.outcome().held_out, "was_seen": True}
    text = "\n".join(tables.notes(budgets.outcome(source="sample", held_out=seen, busy="Busy.")))
    assert "sample, generated" in text
    assert "that the original has learned from" in text
    assert "Busy." in text


def test_a_file_that_validation_shows_to_be_of_no_use_says_so():
    def noted(**marks):
        file = {**budgets.outcome().file, **marks}
        return "\n".join(tables.notes(budgets.outcome(file=file)))

    told = "nothing shows that it has learned"
    assert told in noted(at_chance="accuracy 0.700 is not above chance")
    assert "COLLAPSED: every prediction is 1. Do not use it." in noted(
        collapsed="every prediction is 1"
    )
    assert told not in noted(collapsed="", at_chance="") + noted()


def test_a_trial_of_before_has_no_mark():
    values = json.loads(budgets.trial("trained-int4").to_line())
    del values["at_chance"]
    assert tables.mark(Trial.from_line(json.dumps(values))) is None


def test_a_result_with_an_undefined_score_comes_back_from_its_line():
    found = budgets.outcome()
    nan = {**found.difference, "mean": float("nan"), "low": float("nan")}
    again = Outcome.from_line(budgets.outcome(difference=nan).to_line())
    assert str(again.difference["mean"]) == "nan"
    assert again.difference["high"] == 0.02
    assert "undefined" in tables.headline(again)


@pytest.fixture
def folder(tmp_path):
    """A folder with two files that were tried, the original and a result."""
    settings = CompressSettings.from_json(budgets.outcome().settings)
    found = CompressFolder.open(tmp_path / "compressed", tmp_path / "run", settings)
    original = budgets.trial(
        "original", stage="original", recipe="float32", bytes=90_500_000, score=0.8, drop=0.0
    )
    found.add(original)
    chance = {"score": 0.7, "drop": 0.1, "at_chance": "accuracy 0.700 is not above chance"}
    found.add(budgets.trial("searched-int4", stage="searched", **chance))
    found.add(budgets.trial("searched-int4", stage="searched", recipe="float32", file=""))
    found.add(budgets.trial("trained-int4"))
    found.add(budgets.choice("trained-int4"))
    found.add(Step(name="costs", text="the costs of a network's parts", seconds=100.0))
    return found


def test_every_file_that_was_tried_is_a_row_and_the_chosen_one_says_so(folder):
    rows = tables.tried(folder.trials(), folder.choice("trained")).texts()
    assert [row["network"] for row in rows] == ["original", "searched-int4", "trained-int4"]
    assert [row[""] for row in rows] == ["", "", "chosen"]
    assert [row["ms"] for row in rows] == ["25.0", "", "2.60"]
    assert [row["chosen by"] for row in rows] == ["0.8000", "0.7000, not above chance", "0.7900"]
    assert rows[2]["heads"] == "2"
    assert rows[2]["neurons"] == "40"


@pytest.mark.parametrize("columns", [80, 120])
def test_the_tables_fit_a_terminal(folder, columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal.print_rows("Tried", tables.tried(folder.trials(), None))
    terminal.print_rows("Bought", tables.bought(budgets.outcome()))
    terminal.print_rows("Steps", tables.path(folder.steps()))
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= columns
    assert "15.1 times smaller" in printed


def test_the_page_has_the_front_the_path_and_the_layers(folder):
    page.write(folder, budgets.outcome())
    text = folder.page.read_text()
    assert "10.0 times as fast" in text
    assert text.count('class="scatter wide"') == 2  # Against size and against time.
    assert "original, float32" in text
    assert "What is left of each layer" in text
    assert "Of 30,522 word pieces 12,000 are left." in text
    assert "1 of 2 files keeps the budget." in text
    assert not re.search(r"<script|https?://", text.replace("http://www.w3.org", ""))
    assert "| trained-int4 | int4 |" in folder.markdown.read_text()


def test_the_steps_say_what_is_left_and_are_kept_with_their_time(tmp_path, caplog):
    folder = CompressFolder(tmp_path)
    planned = [Planned("costs", "costs", 60.0, is_done=True), Planned("worth", "the worth", 120.0)]
    taken = Steps(planned, folder)
    with caplog.at_level("INFO", logger="absl"):
        with taken.take("costs") as step:
            step.text = "known"
        with taken.take("worth") as step:
            step.text = "measured"
    told = [record.getMessage() for record in caplog.records]
    assert told == ["step 1 of 2: costs (done before)", "step 2 of 2: the worth (about 2 min left)"]
    (kept,) = folder.steps()
    assert (kept.name, kept.text) == ("worth", "measured")
    # As much as this process, which has NumPy loaded, and not more than it has ever held.
    assert 2e7 < kept.peak_memory_bytes <= cost.peak_memory_bytes()
    (row,) = tables.path([kept]).texts()
    assert row["memory until then"] == quantities.size(kept.peak_memory_bytes)
    older = Step.from_line('{"format": 1, "name": "costs", "text": "known", "seconds": 1.0}')
    assert tables.path([older]).texts()[0]["memory until then"] == ""
    assert steps.left(planned) == 120.0
    assert [row["time"] for row in steps.rows(planned)] == ["done", "about 2 min"]
    assert steps.told_left(planned) == "about 2 min"
    more = [*planned, Planned("trainings", "trained", None)]
    assert steps.rows(more)[-1]["time"] == "not known"
    assert steps.told_left(more) == "about 2 min, besides the steps whose time is not known"


def test_a_step_that_is_interrupted_is_not_kept(tmp_path):
    taken = Steps([Planned("costs", "costs", 60.0)], CompressFolder(tmp_path))

    def interrupted():
        with taken.take("costs") as step:
            step.text = "half"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert CompressFolder(tmp_path).steps() == []
