"""The page in a browser: its answers are `predict`'s, it can be read, and it says what fails."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterator
from typing import Any

import browser
import numpy as np
import pytest
import snippet_browser
import web_site
from page_checks import LOW_CONTRAST, SEEN, TOO_WIDE
from slow_fixtures import slow_to_make

ROOT = pathlib.Path(__file__).parents[2]
# Screenshots stay here, for people to look at.
PICTURES = ROOT / "build" / "web"

pytestmark = [
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.skipif(
        browser.find() is None,
        reason=f"no Chromium is installed ({', '.join(browser.NAMES)}), which shows the page",
    ),
    pytest.mark.skipif(bool(web_site.lacking()), reason=web_site.lacking()),
]

# Whether the page has loaded its files, or has said why it cannot.
READY = """new Promise(done => {
const look = () => document.body.dataset.ready || !document.getElementById('alert').hidden
    ? done(document.getElementById('alert').textContent) : setTimeout(look, 20);
look()})"""
# The number of answers that the page has shown, and what it says of the last.
SHOWN = "[document.body.dataset.answered, document.getElementById('verdict').textContent]"
CARDS = """[...document.querySelectorAll('.card')].map(card => ({
name: card.querySelector('h2').textContent,
answer: card.querySelector('.answer').textContent,
alert: card.querySelector('.alert')?.textContent ?? '',
cost: card.querySelector('.cost').textContent,
notes: card.querySelector('.notes').textContent,
bars: [...card.querySelectorAll('.bars li')].map(row => row.innerText.trim().split(/\\n+/)),
chosen: [...card.querySelectorAll('.bars .chosen .name')].map(name => name.textContent),
}))"""
ANSWERS = """(async () => {
const {Classifier} = await import('./classifier.js');
const classifier = await Classifier.load(%r, 'vocab.txt');
const answers = [];
for (const text of %s) {
    const {label, probabilities, cut} = await classifier.classify(text);
    answers.push([label, [...probabilities.values()], cut]);
}
classifier.delete();
return answers})()"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[browser.Browser]:
    with browser.Browser() as found:
        yield found


def shown(chromium: browser.Browser, address: str, width: int = 1280, **how: Any) -> str:
    """Open the page, wait until it is ready, and return what it complains of."""
    chromium.open(address, width, **how)
    return str(chromium.evaluate(READY))


def ask(chromium: browser.Browser, *texts: str) -> list[dict[str, Any]]:
    """Type texts and press the button as a person does; return what the cards say then."""
    before = chromium.evaluate(SHOWN)[0]
    for number, text in enumerate(texts):
        chromium.evaluate(f"document.getElementById('text-{number}').select()")
        chromium.type(text)
    chromium.evaluate("document.getElementById('send').click()")
    end = time.monotonic() + 10
    while chromium.evaluate(SHOWN)[0] == before:
        assert time.monotonic() < end, "the page does not answer"
    return list(chromium.evaluate(CARDS))


# --- Answers -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
@slow_to_make
def site(exported, tmp_path_factory) -> Iterator[str]:
    run, _ = exported
    folder = tmp_path_factory.mktemp("page") / "site"
    assert web_site.serve.build(run.path, [], folder) == ["float32.tflite", "dynamic_int8.tflite"]
    with web_site.served(folder) as address:
        yield address


def test_its_answers_are_those_of_predict(exported, site, chromium):
    import tiny_runs

    from bert_glue_tf.serving.classifier import Classifier

    _, folder = exported
    texts = [(text,) for text, _ in tiny_runs.sentences(40, seed=9)]
    texts += [("A good\u00e9, \u6771 film!",), ("the film was bad " * 20,), ("",)]
    assert shown(chromium, site) == ""
    # Another processor adds up in another order; int8 rounds activations, some to another number.
    for recipe, apart in (("float32", 1e-5), ("dynamic_int8", 0.02)):
        own = Classifier.load(folder.model(recipe)).predict(texts)
        script = ANSWERS % (f"{recipe}.tflite", [list(text) for text in texts])
        found = chromium.evaluate(script)
        assert [label for label, _, _ in found] == [answer.label for answer in own]
        np.testing.assert_allclose(
            [values for _, values, _ in found],
            [list(answer.probabilities.values()) for answer in own],
            atol=apart,
        )
        assert [cut for _, _, cut in found] == [False] * 41 + [True, False]


def test_a_person_types_a_text_and_sees_both_files_beside_each_other(exported, site, chromium):
    from bert_glue_tf.serving.classifier import Classifier

    assert shown(chromium, site) == ""
    cards = ask(chromium, "this was a bad film")
    assert [card["name"] for card in cards] == ["float32", "dynamic_int8"]
    (own,) = Classifier.load(exported[1].model("float32")).predict([("this was a bad film",)])
    assert cards[0]["answer"] == own.label == "negative"
    assert cards[0]["chosen"] == ["negative"]
    percent = {label: f"{100 * value:.1f} %" for label, value in own.probabilities.items()}
    assert dict(cards[0]["bars"]) == percent
    assert " ms for 7 word pieces, at length 8" in cards[0]["cost"]
    assert chromium.evaluate(SHOWN)[1] == "Both files answer: negative"
    left, right = chromium.evaluate(
        "[...document.querySelectorAll('.card')].map(card => card.getBoundingClientRect().top)"
    )
    assert left == right
    assert ask(chromium, "a great story")[0]["answer"] == "positive"
    cut = ask(chromium, "the good film was " * 20)[0]["cost"]
    assert "32 word pieces; the first ones of a longer text were read" in cut
    ask(chromium, " ")
    assert "No text" in chromium.evaluate(SHOWN)[1]
    ask(chromium, "this was a great film")
    PICTURES.mkdir(parents=True, exist_ok=True)
    chromium.screenshot(PICTURES / "page_1280.png")


def test_it_uses_threads_where_the_server_allows_it(site, chromium):
    shown(chromium, site)
    assert chromium.evaluate("[crossOriginIsolated, typeof SharedArrayBuffer]") == [
        True,
        "function",
    ]
    assert "thread" in chromium.evaluate("document.querySelector('.size').textContent")


# --- Other kinds of answers, by small files ---------------------------------------------------

MANY = [f"label number {i} of many" for i in range(77)]
KINDS = {
    "pair.tflite": web_site.file(3, texts=["a", "b"], labels=["entailment", "neutral", "other"]),
    "number.tflite": web_site.file(1, kind="regression", labels=[], scale=[0, 5]),
    "several.tflite": web_site.file(4, kind="multi_label", labels=list("abcd"), threshold=0.6),
    "many.tflite": web_site.file(77, labels=MANY, data="sample"),
    "numbers.tflite": web_site.file(3, labels=["2", "1", "0"]),
    "published.tflite": web_site.file(
        tokenizer={"kind": "published", "lower_case": True, "strip_accents": True},
        golden=[{"texts": ["the"], "ids": [2, 3], "type_ids": [0, 0], "logits": [0.4375, 0.4375]}],
    ),
}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory) -> Iterator[tuple[pathlib.Path, str]]:
    folder = web_site.write(tmp_path_factory.mktemp("kinds"), KINDS)
    with web_site.served(folder) as address:
        yield folder, address


def only(kinds: tuple[pathlib.Path, str], *names: str) -> str:
    """Let the page show these files, and return its address."""
    listed = ", ".join(f'"{name}"' for name in names)
    text = f'{{"vocabulary": "vocab.txt", "files": [{listed}]}}'
    (kinds[0] / "models.json").write_text(text)
    return kinds[1]


def test_a_pair_has_two_fields(kinds, chromium):
    shown(chromium, only(kinds, "pair.tflite"))
    fields = "[...document.querySelectorAll('label')].map(label => label.textContent)"
    assert chromium.evaluate(fields) == ["First text", "Second text"]
    (card,) = ask(chromium, "the cat", "a dog")
    assert card["answer"] == "entailment"
    assert "for 7 word pieces, at length 16" in card["cost"]


def test_a_number_lies_on_the_scale_of_its_training(kinds, chromium):
    shown(chromium, only(kinds, "number.tflite"))
    (card,) = ask(chromium, "the cat sat")
    assert 0 < float(card["answer"]) < 100
    assert card["bars"][0] == ["0", "5"]
    assert "from 0 to 5" in card["bars"][1][0]


def test_each_of_several_labels_that_applies_is_marked(kinds, chromium):
    shown(chromium, only(kinds, "several.tflite"))
    (card,) = ask(chromium, "the cat sat")
    assert card["answer"] == "a, b"
    assert [name[:1] for name in card["chosen"]] == ["\u2713", "\u2713"]
    assert len(card["bars"]) == 5
    assert "60.0 %" in card["bars"][4][0]


def test_of_many_labels_the_likeliest_are_shown(kinds, chromium):
    shown(chromium, only(kinds, "many.tflite"))
    (card,) = ask(chromium, "the cat sat")
    assert [row[0] for row in card["bars"]] == [*MANY[:6], "71 labels that are less likely"]
    assert "generated sample" in card["notes"]


def test_labels_that_are_numbers_keep_their_places(kinds, chromium):
    shown(chromium, only(kinds, "numbers.tflite"))
    (card,) = ask(chromium, "the cat sat")
    assert card["answer"] == "2"
    assert [row[0] for row in card["bars"]] == ["2", "1", "0"]


def test_a_tokenizer_that_differs_in_rare_characters_is_told_of(kinds, chromium):
    assert shown(chromium, only(kinds, "published.tflite")) == ""
    (card,) = chromium.evaluate(CARDS)
    assert "a tokenizer of its own" in card["notes"]


# --- Looks ---------------------------------------------------------------------------------

LOOKS = ("pair.tflite", "several.tflite", "many.tflite", "gone.tflite")


@pytest.mark.parametrize("width", [1280, 760, 400, 320])
def test_nothing_is_wider_than_the_window(kinds, chromium, width):
    shown(chromium, only(kinds, *LOOKS), width)
    ask(chromium, "the cat " * 30, "https://example.org/" + "a" * 200)
    chromium.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert chromium.evaluate(TOO_WIDE % SEEN) == []
    assert chromium.evaluate("document.documentElement.scrollWidth") == width
    if width in (1280, 400):
        PICTURES.mkdir(parents=True, exist_ok=True)
        chromium.screenshot(PICTURES / f"kinds_{width}.png")


@pytest.mark.parametrize("is_dark", [False, True])
def test_text_has_contrast_in_both_schemes(kinds, chromium, is_dark):
    shown(chromium, only(kinds, *LOOKS), is_dark=is_dark)
    ask(chromium, "the cat sat", "a dog")
    chromium.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    ground = chromium.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(21, 26, 33)" if is_dark else "rgb(255, 255, 255)")
    assert chromium.evaluate(LOW_CONTRAST % SEEN) == []


def test_it_has_the_colours_of_the_comparison():
    sheets = [
        (ROOT / "bert_glue_tf" / "reports" / "templates" / "style.css").read_text(),
        (web_site.WEB / "page.css").read_text(),
    ]
    first, second = (sheet[sheet.index(":root") : sheet.index("* {")] for sheet in sheets)
    assert first == second


def test_the_keyboard_reaches_the_text_and_the_button(kinds, chromium):
    shown(chromium, only(kinds, "numbers.tflite"))
    reached = []
    for _ in range(3):
        chromium.press("Tab")
        focused = "document.activeElement.tagName, getComputedStyle(document.activeElement)"
        reached += chromium.evaluate(f"[{focused}.outlineStyle]")
    assert reached == ["TEXTAREA", "solid", "BUTTON", "solid", "SUMMARY", "solid"]


# --- What fails ----------------------------------------------------------------------------

BROKEN = {
    "old.tflite": web_site.file(tokenizer=None),
    "pieces.tflite": web_site.file(
        golden=[{"texts": ["the"], "ids": [2, 9, 3], "type_ids": [0] * 3, "logits": [0, 0]}]
    ),
    "answers.tflite": web_site.file(
        golden=[{"texts": [""], "ids": [2, 3], "type_ids": [0, 0], "logits": [3, 0]}]
    ),
    "words.tflite": web_site.file(vocabulary_sha256="0" * 64),
    "labels.tflite": web_site.file(labels=["one", "two", "three"]),
    "kind.tflite": web_site.file(kind="tagging"),
    "foreign.tflite": b"\0\0\0\0TFL2",
    "good.tflite": web_site.file(),
}
SAID = {
    "old": "does not say how it takes texts",
    "pieces": "other word pieces than where it was exported",
    "answers": 'answers "" with',
    "words": "not the vocabulary of this file",
    "labels": "2 outputs for 3 labels",
    "kind": "the kind tagging",
    "foreign": "no .tflite file",
    "gone": "status 404",
    "good": "",
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> Iterator[tuple[pathlib.Path, str]]:
    folder = web_site.write(tmp_path_factory.mktemp("broken"), BROKEN)
    with web_site.served(folder) as address:
        yield folder, address


def test_a_file_that_cannot_be_loaded_says_why_and_the_others_answer(broken, chromium):
    assert shown(chromium, only(broken, *(f"{name}.tflite" for name in SAID))) == ""
    for card in chromium.evaluate(CARDS):
        said = SAID[card["name"]]
        assert said in card["alert"], card["name"]
        assert bool(card["alert"]) == bool(said)
        assert bool(card["answer"]) == (not said)


def test_a_page_of_which_parts_are_missing_says_so(broken, chromium):
    folder, address = broken
    for name, said in (
        ("models.json", "models.json"),
        ("tokenizer.js", "A part of the page cannot be loaded"),
        ("litert/wasm/litert_wasm_threaded_internal.js", "LiteRT cannot be started"),
    ):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        assert said in shown(chromium, address)
        (folder / name).write_bytes(content)
    assert "make web-demo" in shown(chromium, (folder / "index.html").as_uri())


def test_a_browser_without_webassembly_is_told(broken):
    with browser.Browser() as old:
        old.before_each_page("delete globalThis.WebAssembly")
        assert "WebAssembly" in shown(old, only(broken, "good.tflite"))


# --- The snippet of web/README.md -------------------------------------------------------------


def test_the_snippet_for_a_page_of_ones_own_answers(site, chromium):
    shown(chromium, site)
    code, _ = snippet_browser.blocks(web_site.WEB / "README.md")
    # The page that is open has started the runtime, which can be done once.
    code = code.replace('await start("./litert/wasm/")', "{threads: true}")
    logged = snippet_browser.run(chromium, code.replace("The cat sat.", "a bad film"))
    assert logged[0][0] == "negative"
    assert [row[0] for row in logged[1:]] == ["negative", "positive"]
    assert logged[0][1] == pytest.approx(logged[1][1])
