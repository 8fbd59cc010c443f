"""The page, Markdown, CSV and pictures of a comparison."""

from __future__ import annotations

import html
import html.parser
import itertools
import re
import shlex
import xml.etree.ElementTree

import numpy as np
import pytest
from report_runs import CONSTANT, LABELS, changed, history, read, right
from written_runs import write_export, write_run, write_session

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.reports import files, page, verdicts
from bert_glue_tf.reports.groups import group
from bert_glue_tf.reports.pictures import confusion

VOID = ("meta", "br", "wbr")


class Page(html.parser.HTMLParser):
    """Collects what a browser would fetch, run or show.

    Attributes:
      tables: caption -> a dict for each row, from the title of a column to the cell's text.
      outline: (level, text) of the headings.
    """

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.handlers, self.data = set(), [], [], []
        self.open, self.ids, self.named = [], [], []
        self.tables, self.outline, self.labels = {}, [], []
        self.cell = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        given = dict(attributes)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                self.links.append(value)
            if name.startswith("on"):
                self.handlers.append(name)
        self.ids += [given["id"]] if "id" in given else []
        self.named += [given["aria-labelledby"]] if "aria-labelledby" in given else []
        self.labels += [given["aria-label"]] if "aria-label" in given else []
        if tag == "svg":
            assert given["role"] == "img"
            assert given["aria-label"]
        if tag in ("th", "td"):
            assert tag == "td" or given["scope"] in ("col", "row")
            self.head, self.cell = given.get("data-head"), ""
        if tag == "tr" and "tbody" in self.open and self.tables:
            next(reversed(self.tables.values())).append({})
        if tag in ("h1", "h2", "h3", "h4"):
            self.outline.append((int(tag[1]), ""))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("th", "td") and self.head:
            next(reversed(self.tables.values()))[-1][self.head] = self.cell

    def handle_data(self, data):
        self.data.append(data)
        self.cell += data
        if self.open and self.open[-1] == "caption":
            self.tables[data] = []
        if self.open and self.open[-1] in ("h1", "h2", "h3", "h4"):
            level, text = self.outline.pop()
            self.outline.append((level, text + data))


@pytest.fixture
def written(tmp_path):
    """A comparison with everything, of a run whose folder has a hostile name."""
    run = write_run(
        tmp_path / "runs" / '<script>alert("1")&amp;|<b>',
        LABELS,
        right(300),
        encoder='/m/<script>x" onload="y',
        history=history(0.5, 0.4),
    )
    write_export(run, "float32", LABELS, right(300), milliseconds=10)
    write_export(run, "int8", LABELS, CONSTANT, collapsed="every prediction is not_equivalent")
    pruned = tmp_path / "runs" / "pruned"
    write_run(
        pruned,
        LABELS,
        right(290),
        encoder='/m/<script>x" onload="y',
        pruning_method="classifier_magnitude",
        history=history(0.6, 0.5),
    )
    write_session(run)
    models = read(run, pruned)
    groups = group(models)
    page = files.write(tmp_path / "out", groups, verdicts.differences(models))
    return models, page


def test_the_page_is_self_contained_and_escaped(written):
    _, path = written
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert not page.tags & {"script", "img", "link", "iframe", "object", "embed", "base", "b"}
    assert all(link.startswith("#") for link in page.links)
    assert page.handlers == []
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    shown = "".join(page.data)
    assert '<script>alert("1")&amp;|<b>' in shown
    assert '/m/<script>x" onload="y' in shown


def test_every_picture_of_the_page_is_well_formed(written):
    text = written[1].read_text(encoding="utf-8")
    figures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    # Score against size and time for a laptop and a phone; loss and score of two runs.
    assert len(figures) == 4 + 4
    for figure in figures:
        assert xml.etree.ElementTree.fromstring(figure).tag.endswith("svg")


def test_the_page_has_an_outline(written):
    page = Page(written[1].read_text(encoding="utf-8"))
    levels = [level for level, _ in page.outline]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert [text for level, text in page.outline if level == 2] == [
        "In short",
        "Score against cost",
        "Differences",
        "Training",
        "Answers by class",
        "Every number",
    ]
    assert len(set(page.ids)) == len(page.ids)
    assert set(page.named) <= set(page.ids)


def test_every_number_of_the_page_has_its_run_seed_and_examples(written):
    models, path = written
    page = Page(path.read_text(encoding="utf-8"))
    assert "The same for all: " in "".join(page.data)
    assert "examples 400" in "".join(page.data)
    assert len(page.tables["Scores"]) == len(page.tables["Costs"]) == len(models) == 4
    # On the page the models of the unpruned run come first, as they were read.
    for scores, costs, model in zip(
        page.tables["Scores"], page.tables["Costs"], models, strict=True
    ):
        assert scores["run"] == costs["run"] == model.run
        assert scores["score"].split()[0] == f"{model.primary:.4f}"
    int8 = page.tables["Scores"][2] | page.tables["Costs"][2]
    assert (int8["recipe"], int8["ms"], int8["speed"]) == ("int8", "8.00", "2.50x")
    assert (int8["size"], int8["gzipped"], int8["peak memory"]) == ("25.0 MB", "22.5 MB", "123 MB")
    assert int8["flips"] == "3"
    assert int8["other scores"] == "f1 0.0000"


def test_every_number_is_that_of_a_run(written):
    text = written[1].read_text(encoding="utf-8")
    tables = re.findall(
        r'<caption class="hidden">(?:Scores|Costs)</caption>.*?</table>', text, re.S
    )
    assert len(tables) == 2
    for table in tables:
        assert set(re.findall(r'<th role="rowheader"[^>]* data-head="(\w+)"', table)) == {"run"}


def test_a_time_says_its_length_once(written):
    told = "".join(Page(written[1].read_text(encoding="utf-8")).data)
    assert "timed at 64 word pieces." in told
    assert " at 64 " not in told.replace("timed at 64 ", "")


def test_the_settings_of_a_run_are_those_that_come_into_it(tmp_path):
    write_run(tmp_path / "whole", LABELS, right(300))
    write_run(tmp_path / "pieces", LABELS, right(300), pruning_method="vocabulary")
    options = {
        "pruning_method": "block",
        "pruning_options": "block=4x4",
        "pruning_schedule": "one_shot",
    }
    write_run(tmp_path / "block", LABELS, right(300), **options)
    shown = Page(page.page(group(read(*tmp_path.iterdir())), [])).tables
    settings = {
        name: {row["setting"]: row["value"] for row in shown[f"Settings of {name}"]}
        for name in ("whole", "pieces", "block")
    }
    assert all(value for of_one in settings.values() for value in of_one.values())
    about_pruning = {"final_sparsity", "ranking", "pruning_scope", "begin_step", "pruning_schedule"}
    assert not about_pruning & set(settings["whole"])
    assert settings["whole"]["pruning_method"] == "none"
    assert about_pruning & set(settings["pieces"]) == {"pruning_schedule"}
    assert about_pruning < set(settings["block"])
    assert settings["block"]["pruning_options"] == "block=4x4"
    assert "pruning_weights" not in settings["block"]  # Empty.


def test_a_command_to_be_pasted_is_code_whose_words_are_whole(tmp_path):
    write_run(tmp_path / "a b--c", LABELS, right(300), pruning_method="row", epochs=2)
    text = page.page(group(read(*tmp_path.iterdir())), [])
    (code,) = re.findall("<code>(.*?)</code>", text)
    words = re.findall("<span>(.*?)</span>", code)
    assert code == " ".join(f"<span>{word}</span>" for word in words)
    assert [html.unescape(word) for word in words][:3] == ["python", "-m", "bert_glue_tf.train"]
    assert "wbr" not in code
    pasted = shlex.split(html.unescape(" ".join(words)))
    assert "--epochs=2" in pasted
    assert f"{tmp_path}/" in pasted[-1]


def test_columns_that_are_empty_are_not_shown(tmp_path):
    models = read(write_run(tmp_path / "run", LABELS, right(300)))
    shown = Page(page.page(group(models), []))
    (costs,) = shown.tables["Costs"]
    assert {"size", "gzipped"} < set(costs)
    assert not {"ms", "speed", "peak memory", "pruned"} & set(costs)


def test_the_answers_by_class_are_counted_over_the_seeds(tmp_path):
    for seed in (1, 2):
        write_run(tmp_path / f"s{seed}", LABELS, right(300 + 20 * seed), seed=seed)
    text = page.page(group(read(*tmp_path.iterdir())), [])
    cells = re.findall(r'<td class="(right|wrong)".*?<strong>(\d+)</strong> <span>(\d+)%', text)
    # Of 2 x 200 examples of each class, 40 and 30 are wrong.
    assert cells == [
        ("right", "330", "82"),
        ("wrong", "70", "18"),
        ("wrong", "70", "18"),
        ("right", "330", "82"),
    ]


def test_the_margin_that_is_given_counts_where_no_pair_can_be_compared(tmp_path):
    whole = write_run(tmp_path / "whole", LABELS, right(300), seed=1)
    half = write_run(
        tmp_path / "half", LABELS, right(280), seed=2, megabytes=45, pruning_method="layer"
    )
    models = read(whole, half)
    assert verdicts.differences(models, 0.1) == []
    told = "Every smaller model loses more than {}"
    for margin, points, is_said in ((0.1, "10 points", False), (0.02, "2 points", True)):
        written = files.write(tmp_path / "out", group(models), [], margin)
        text = written.read_text(encoding="utf-8")
        assert (told.format(points) in text) is is_said
        assert told.format("a point") not in text


@pytest.mark.parametrize(
    ("labels", "is_turned", "has_long_words"),
    [
        (("not_equivalent", "equivalent"), False, False),
        (("entailment", "neutral", "contradiction"), False, False),
        (("negative", "neutral", "positive", "contradictory"), True, False),
        (("pneumonoultramicroscopic", "other"), True, True),
    ],
)
def test_heads_of_classes_are_turned_where_they_have_no_room(labels, is_turned, has_long_words):
    number = len(labels)
    found = confusion.Confusion(
        1, "model", labels, np.eye(number, dtype=int), 1, np.ones(number, int), number
    )
    assert (found.is_turned, found.has_long_words) == (is_turned, has_long_words)


def test_a_regression_has_no_answers_by_class(tmp_path):
    labels = np.linspace(0, 5, 50)
    models = read(write_run(tmp_path / "run", labels, labels[:, None], task="stsb"))
    assert "Answers by class" not in page.page(group(models), [])


def test_the_layers_of_a_pruned_model_are_drawn(tmp_path):
    whole = [{"heads": 12, "neurons": 3072}] * 2
    left = [{"heads": 5, "neurons": 1536}, {"heads": 12, "neurons": 3072}]
    run = write_run(tmp_path / "run", LABELS, right(300), pruning_method="attention_head")
    same = write_run(tmp_path / "same", LABELS, right(300))
    changed(run, widths={"before": whole, "after": left})
    changed(same, widths={"before": whole, "after": whole})
    text = page.page(group(read(run, same)), [])
    shown = Page(text)
    (told,) = [label for label in shown.labels if "layers left" in label]
    assert told == (
        "2 of 2 layers left. layer 1: 5 of 12 heads, 1,536 of 3,072 neurons; "
        "layer 2: 12 of 12 heads, 3,072 of 3,072 neurons."
    )
    assert (text.count('<i class="left">'), text.count('<i class="gone">')) == (17, 7)


def test_without_widths_in_the_records_no_layers_are_drawn(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(300), pruning_method="attention_head")
    shown = Page(page.page(group(read(run)), []))
    assert "Layers" not in [text for _, text in shown.outline]


@pytest.mark.parametrize(
    "after",
    [
        [{"heads": 13, "neurons": 2}],
        [{"heads": 2}],
        [{"heads": 2, "neurons": 2}] * 2,
    ],
)
def test_widths_that_do_not_fit_together_are_refused(tmp_path, after):
    run = write_run(tmp_path / "run", LABELS, right(300))
    changed(run, widths={"before": [{"heads": 12, "neurons": 2}], "after": after})
    with pytest.raises(UserError, match="widths") as caught:
        read(run)
    assert str(run) in str(caught.value)


def test_markdown_tables_keep_their_columns(written):
    text = (written[1].parent / "comparison.md").read_text(encoding="utf-8")
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1
    assert r'<script>alert("1")&amp;\|<b>' in text


def test_pictures_for_a_paper(written):
    pictures = sorted(written[1].parent.glob("*.png"))
    names = [path.name.rsplit("_", 1)[1] for path in pictures]
    assert names == ["curves.png", "latency.png", "size.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG\r\n") for path in pictures)


def test_the_same_records_make_the_same_files(written, tmp_path):
    models, page = written
    groups = group(models)
    again = files.write(tmp_path / "again", groups, verdicts.differences(models))
    for path in page.parent.iterdir():
        assert (again.parent / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_folder_that_cannot_be_written(written, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as caught:
        files.write(tmp_path / "file", group(written[0]), [])
    assert str(caught.value).startswith(f"--output={tmp_path / 'file'}: cannot be written (File ex")


def test_nothing_to_compare_is_said(tmp_path):
    models = read(write_run(tmp_path / "run", LABELS, right(300)))
    text = page.page(group(models), verdicts.differences(models))
    assert "There is nothing to compare: give runs with and without pruning, or exports." in text


def test_the_page_colours_by_what_a_cell_means_and_not_by_its_words(tmp_path):
    run = write_run(tmp_path / "COLLAPSED", LABELS, right(300))
    pruned = write_run(tmp_path / "worse", LABELS, right(390), pruning_method="row")
    write_session(run)
    models = read(run, pruned)
    text = page.page(group(models), verdicts.differences(models))
    assert re.search(r'class="name good" data-head="verdict">these two models: better</td>', text)
    assert re.search(r'class="name" data-head="run">COLLAPSED</th>', text)
    assert re.search(r'class="name" data-head="run">worse</th>', text)


def test_what_a_page_does_not_show_it_does_not_explain(tmp_path):
    rows = [{"epoch": epoch, "loss": 0.6, "val_loss": 0.6} for epoch in (1, 2)]
    only = "every prediction is not_equivalent"
    run = write_run(tmp_path / "run", LABELS, CONSTANT, history=rows[:1])
    for recipe, size in (("float32", 90), ("int8", 22)):
        write_export(run, recipe, LABELS, CONSTANT, megabytes=size, collapsed=only)
    text = page.page(group(read(run)), [])
    assert "Crosses are models that collapsed." in text
    assert "Pareto front" not in text
    assert "No run here has the history of more than one epoch" in text
    assert "“no pruning, keras”" in text.split("since ", 1)[1]
    run = write_run(tmp_path / "sound", LABELS, right(300), history=rows)
    for recipe, size, number in (("float32", 90, 300), ("int8", 22, 290)):
        write_export(run, recipe, LABELS, right(number), megabytes=size)
    text = page.page(group(read(run)), [])
    assert "The line is the Pareto front" in text
    assert "Crosses" not in text
    assert "No run here has the history" not in text


def test_a_name_is_broken_between_its_settings(tmp_path):
    for name, epochs in (("a", 1), ("b", 2)):
        write_run(tmp_path / name, LABELS, right(300), finetune_epochs=epochs)
    text = page.page(group(read(*tmp_path.iterdir())), [])
    assert "finetune_epochs=1" in text
    assert "finetune_<wbr>" not in text
