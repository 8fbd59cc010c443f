"""The file for MediaPipe in its runtime for the web: labels and scores are `predict`'s."""

from __future__ import annotations

import json
from collections.abc import Iterator

import browser
import pytest
import snippet_browser
import web_site

from bert_glue_tf.data import readers, tasks
from bert_glue_tf.export.folder import FOLDER
from bert_glue_tf.serving.classifier import Classifier

NAME = "dynamic_int8_mediapipe.tflite"
TEXTS = 200  # Of the dev set; in Python all of it is compared.

pytestmark = [
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.skipif(
        browser.find() is None,
        reason=f"no Chromium is installed ({', '.join(browser.NAMES)}), which runs MediaPipe",
    ),
    pytest.mark.skipif(bool(web_site.lacking()), reason=web_site.lacking()),
]


@pytest.fixture(scope="module")
def page(trained_run, tmp_path_factory) -> Iterator[browser.Browser]:
    """A browser with an empty page, beside which the file and npm's folder lie."""
    folder = tmp_path_factory.mktemp("mediapipe")
    (folder / "index.html").write_text("<!doctype html><title>MediaPipe</title>")
    (folder / NAME).symlink_to(trained_run.path / FOLDER / NAME)
    (folder / "node_modules").symlink_to(web_site.serve.MODULES)
    with web_site.served(folder) as address, browser.Browser() as chromium:
        chromium.open(address, 800)
        yield chromium


def test_the_snippet_classifies_as_predict_does(trained_run, page, glue_dir):
    _, code = snippet_browser.blocks(web_site.WEB / "README.md")
    code = code.replace(
        '"@mediapipe/tasks-text"', '"./node_modules/@mediapipe/tasks-text/text_bundle.mjs"'
    )
    examples = readers.load(tasks.get("cola"), str(glue_dir), "validation")
    texts = list(examples.texts[0][:TEXTS])
    assert '"The cat sat."' in code
    once = code.replace('"The cat sat."', json.dumps(texts[0]))
    own = Classifier.load(trained_run.path / FOLDER / NAME).predict([(text,) for text in texts])
    ((label, score),) = snippet_browser.run(page, once)
    assert (label, score) == (own[0].label, pytest.approx(own[0].score, abs=0.01))

    every = code[: code.index("const [{categories}]")] + (
        f"for (const text of {json.dumps(texts)}) {{\n"
        "const [{categories}] = classifier.classify(text).classifications;\n"
        "console.log(categories[0].categoryName, categories[0].score);\n}"
    )
    found = snippet_browser.run(page, every)
    wrong = [
        (text, label, answer.label)
        for text, (label, _), answer in zip(texts, found, own, strict=True)
        if label != answer.label
    ]
    assert len(wrong) <= TEXTS // 100, wrong  # Its tokenizer splits some texts in another way.
    apart = sorted(abs(score - one.score) for (_, score), one in zip(found, own, strict=True))
    assert apart[TEXTS // 2] < 0.01
