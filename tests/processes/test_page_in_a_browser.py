"""The page of a comparison as a browser shows it: widths, contrast, labels, keyboard, print."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import browser
import example_pages
import pytest
from page_checks import LOW_CONTRAST, SEEN, TOO_WIDE

pytestmark = [
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.skipif(
        browser.find() is None,
        reason=f"no Chromium is installed ({', '.join(browser.NAMES)}), which shows the page",
    ),
]

OVERLAPPING = """(() => {%s
const found = [];
for (const svg of document.querySelectorAll('svg.scatter')) {
    const labels = [...svg.querySelectorAll('.label')].filter(one => one.checkVisibility());
    const boxes = labels.map(one => one.getBBox());
    for (let i = 0; i < boxes.length; i++) for (let j = 0; j < i; j++) {
        const [a, b] = [boxes[i], boxes[j]];
        if (Math.min(a.x + a.width, b.x + b.width) > Math.max(a.x, b.x) + 0.5
            && Math.min(a.y + a.height, b.y + b.height) > Math.max(a.y, b.y) + 3)
            found.push([named(labels[i]), named(labels[j])]);
    }
}
return found})()"""

# Words of the classes that stand in several lines; one may end at an underscore.
BROKEN = """(() => {
const found = [];
for (const head of document.querySelectorAll('.confusion th')) {
    const texts = document.createTreeWalker(head, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) for (const word of texts.currentNode.data.matchAll(/[^ _]+_?/g)) {
        const range = document.createRange();
        range.setStart(texts.currentNode, word.index);
        range.setEnd(texts.currentNode, word.index + word[0].length);
        if (range.getClientRects().length > 1) found.push(word[0]);
    }
}
return found})()"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> pathlib.Path:
    return example_pages.write(tmp_path_factory.mktemp("example"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[browser.Browser]:
    with browser.Browser() as found:
        yield found


@pytest.mark.parametrize("width", [1280, 1250, 1000, 770, 750, 400, 320])
def test_nothing_is_wider_than_the_window(page, chromium, width):
    chromium.open(page, width)
    unfold(chromium)
    assert chromium.evaluate("innerWidth") == width
    sizes = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    whole, seen = chromium.evaluate(sizes)
    assert chromium.evaluate(TOO_WIDE % SEEN) == []
    assert whole <= seen == width


def unfold(chromium: browser.Browser) -> None:
    chromium.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")


@pytest.mark.parametrize("is_dark", [False, True])
@pytest.mark.parametrize("width", [1280, 400])
def test_text_has_contrast_in_both_schemes(page, chromium, width, is_dark):
    chromium.open(page, width, is_dark=is_dark)
    unfold(chromium)
    ground = chromium.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(21, 26, 33)" if is_dark else "rgb(255, 255, 255)")
    assert chromium.evaluate(LOW_CONTRAST % SEEN) == []


@pytest.mark.parametrize("width", [1280, 910, 400])
def test_labels_of_points_do_not_lie_on_each_other(page, chromium, width):
    chromium.open(page, width)
    labels = "document.querySelectorAll('svg.%s .label').length"
    kind = "wide" if width > 900 else "narrow"
    assert chromium.evaluate(labels % kind) > 15
    assert chromium.evaluate(OVERLAPPING % SEEN) == []


@pytest.mark.parametrize("width", [1280, 1000, 800, 400, 320])
def test_no_word_of_a_class_is_broken(page, chromium, width):
    chromium.open(page, width)
    unfold(chromium)
    heads = "[...document.querySelectorAll('.confusion thead th')].map(one => one.textContent)"
    assert {"contradiction", "not_equivalent"} < set(chromium.evaluate(heads))
    assert chromium.evaluate(BROKEN) == []


@pytest.mark.parametrize("width", [1280, 400, 320])
def test_a_command_breaks_at_its_spaces_only(page, chromium, width):
    chromium.open(page, width)
    words = "[...document.querySelectorAll('code span')].map(one => [one.textContent, %s])"
    found = chromium.evaluate(words % "one.getClientRects().length")
    assert [word for word, _ in found][:3] == ["python", "-m", "bert_glue_tf.benchmark"]
    assert {lines for _, lines in found} == {1}
    # What is longer than the window scrolls within its own box.
    boxes = chromium.evaluate(
        "[...document.querySelectorAll('code')].map(one => one.getBoundingClientRect().right)"
    )
    assert max(boxes) <= width


@pytest.mark.parametrize("width", [1280, 400])
def test_verdict_and_size_are_seen_without_scrolling_sideways(page, chromium, width):
    chromium.open(page, width)
    for head in ("verdict", "size"):
        ends = chromium.evaluate(
            f"[...document.querySelectorAll('td[data-head={head}]')]"
            ".filter(one => one.checkVisibility() && one.textContent)"
            ".map(one => one.getBoundingClientRect().right)"
        )
        assert len(ends) > 20
        assert max(ends) <= width


def test_it_asks_for_nothing_and_says_nothing_of_the_network(page, chromium):
    chromium.open(page, 1280)
    assert chromium.evaluate("performance.getEntriesByType('resource').length") == 0
    assert chromium.evaluate("document.scripts.length") == 0


def test_the_keyboard_finds_what_is_folded_and_shows_where_it_is(page, chromium):
    chromium.open(page, 1280)
    chromium.press("Tab")
    name, outline = chromium.evaluate(
        "[document.activeElement.tagName, getComputedStyle(document.activeElement).outlineStyle]"
    )
    assert (name, outline) == ("SUMMARY", "solid")


def test_the_pointer_finds_the_numbers_of_a_point(page, chromium):
    chromium.open(page, 1280)
    titles = chromium.evaluate(
        "[...document.querySelectorAll('svg.wide .point title')].map(one => one.textContent)"
    )
    assert any("on the Pareto front" in one for one in titles)
    assert all(" MB" in one or " ms an example" in one for one in titles)


def test_it_is_printed_in_ink_on_paper(page, chromium, tmp_path):
    across = 1032  # Pixels between the margins of A4 in landscape.
    chromium.open(page, across, is_dark=True, media="print")
    assert chromium.evaluate("document.documentElement.scrollWidth") <= across
    assert chromium.evaluate("getComputedStyle(document.body).color") == "rgb(27, 35, 48)"
    chromium.print(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF-")
