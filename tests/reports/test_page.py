"""The page, Markdown, CSV and pictures of a comparison."""

from __future__ import annotations

import html.parser
import re
import xml.etree.ElementTree

import pytest
from report_runs import CONSTANT, LABELS, history, read, right
from written_runs import write_export, write_run, write_session

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.reports import files, page, verdicts
from bert_glue_tf.reports.groups import group


class Page(html.parser.HTMLParser):
    """Collects what a browser would fetch, run or show."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.handlers, self.data = set(), [], [], []
        self.open = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                self.links.append(value)
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in ("meta", "br"):
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.data.append(data)


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
    assert text.count("<figure>") == 3


def test_every_figure_of_the_page_is_well_formed(written):
    text = written[1].read_text(encoding="utf-8")
    figures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(figures) == 3
    for figure in figures:
        assert xml.etree.ElementTree.fromstring(figure).tag.endswith("svg")


def test_every_number_of_the_page_has_its_run_seed_and_examples(written):
    models, path = written
    text = path.read_text(encoding="utf-8")
    table = text[text.index("<h2>Every number</h2>") :]
    heads = re.findall(r"<th>(.*?)</th>", table[: table.index("</tr>")])
    rows = [
        dict(zip(heads, re.findall(r"<td.*?>(.*?)</td>", row), strict=True))
        for row in re.findall(r"<tr><td.*?</tr>", table[: table.index("</table>")])
    ]
    assert len(rows) == len(models) == 4
    for row, model in zip(rows, models, strict=True):
        assert html.unescape(row["run"]) == model.run
        assert (row["seed"], row["examples"]) == ("1", "400")
        assert row["score"].split()[0] == f"{model.primary:.4f}"
    int8 = rows[2]
    assert (int8["recipe"], int8["ms"], int8["speed"]) == ("int8", "8.00 at 64", "2.50x")
    assert (int8["size"], int8["gzipped"], int8["peak memory"]) == ("25.0 MB", "22.5 MB", "123 MB")
    assert int8["flips"] == "3"
    assert int8["other scores"] == "f1 0.0000"


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
    text = page.page(group(models), verdicts.differences(models), [])
    assert "There is nothing to compare: give runs with and without pruning, or exports." in text


def test_the_page_colours_by_what_a_cell_means_and_not_by_its_words(tmp_path):
    run = write_run(tmp_path / "COLLAPSED", LABELS, right(300))
    pruned = write_run(tmp_path / "worse", LABELS, right(390), pruning_method="row")
    write_session(run)
    models = read(run, pruned)
    text = page.page(group(models), verdicts.differences(models), [])
    assert '<td class="name good">these two models: better</td>' in text
    assert "<td>COLLAPSED</td>" in text
    assert "<td>worse</td>" in text
