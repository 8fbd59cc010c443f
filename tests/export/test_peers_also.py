"""Files of other weights beside the peers of a run, as far as that runs without them."""

from __future__ import annotations

import functools
import json
import pathlib
import shutil
import sys
import types

import numpy as np
import pytest
from absl import flags
from messages import refuses
from slow_fixtures import slow_to_make

from bert_glue_tf.core import files
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import readers, vocabulary
from bert_glue_tf.evaluation import metrics
from bert_glue_tf.export import flatbuffer
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.export.litert import LiteModel
from bert_glue_tf.serving.classifier import Classifier

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"
LONGEST = 32


@pytest.fixture(scope="module", autouse=True)
def benchmarks():
    """The modules of benchmarks/, which is no package."""
    sys.path.insert(0, str(BENCHMARKS))
    import peer
    import peer_inputs
    import peer_others
    import peers
    import peers_weights

    yield types.SimpleNamespace(
        inputs=peer_inputs, peers=peers, weights=peers_weights, others=peer_others, peer=peer
    )
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
@slow_to_make
def written(exported, benchmarks, tmp_path_factory):
    """A file of another vocabulary, half as large, and the folder of the peers' inputs with it."""
    run, export = exported
    root = tmp_path_factory.mktemp("also")
    other = ExportFolder(root / "other")
    other.path.mkdir()
    pieces = vocabulary.read(export.preprocessing)
    vocabulary.prune(
        export.preprocessing, other.preprocessing, list(range(len(pieces) // 2)), share=0.0
    )
    (file,) = (other.preprocessing / "assets").iterdir()
    shutil.copy(file, other.vocabulary)
    content = export.model("dynamic_int8").read_bytes()
    told = {**flatbuffer.read_metadata(content), "vocabulary_sha256": files.sha256(file)}
    model = flatbuffer.read(content)
    flatbuffer.drop_metadata(model)
    flatbuffer.add_metadata(model, told)
    other.model("int4").write_bytes(flatbuffer.write(model))
    other.settings_file.write_text(json.dumps({"run": "searched-int4"}))
    made = benchmarks.weights.collect(run, 4, benchmarks.others.paths([str(other.model("int4"))]))
    made.save(root / "peers")
    return other.model("int4"), root / "peers"


class Builder:
    """Stands in for the other runtimes: our files, which run at any length up to the longest."""

    def __init__(self, inputs, folder, export, threads, lengths):
        self._export = export

    def _peer(self, runtime, recipe, file):
        from peer import Peer

        model = LiteModel.load(file, 1)

        def predict(features):
            missing = LONGEST - features["input_word_ids"].shape[1]
            return model.predict(
                {k: np.pad(v, ((0, 0), (0, missing))) for k, v in features.items()}
            )

        return Peer(runtime, recipe, file.stat().st_size, predict)

    def float32(self):
        yield self._peer("ours", "float32", self._export.model("float32"))

    def quantized(self):
        yield self._peer("OpenVINO", "static int8", self._export.model("dynamic_int8"))


def run_peers(benchmarks, patch, *arguments):
    """Run benchmarks/peers.py in this process with stand-ins, and flags of its own."""
    own = flags.FlagValues()
    names = ("DEFINE_string", "DEFINE_multi_string", "DEFINE_list", "DEFINE_integer")
    defining = {name: functools.partial(getattr(flags, name), flag_values=own) for name in names}
    patch.setattr(benchmarks.peers, "flags", types.SimpleNamespace(**defining))
    patch.setattr(benchmarks.peers, "FLAGS", own)
    stand_in = types.SimpleNamespace(Builder=Builder, LIBRARIES={"ours": "numpy"}, TOOLS=())
    patch.setitem(sys.modules, "peer_models", stand_in)
    benchmarks.peers.define_flags()
    own(["peers.py", "--rounds=3", "--sentences=2", "--threads=1", *arguments])
    benchmarks.peers.main()


def test_a_file_reads_the_dev_split_by_its_own_tokenizer(written, exported, benchmarks):
    other, folder = written
    inputs = benchmarks.inputs.PeerInputs.load(folder)
    (tokens,) = inputs.also.values()
    assert list(inputs.also) == [files.sha256(other)]
    assert tokens.lengths.sum() > inputs.dev.lengths.sum()  # Words fall into more pieces.
    run = exported[0]
    read = readers.load_for_training(run.task, run.config.data, run.config.train_examples)
    classifier = Classifier.load(other, 1)
    (own,) = benchmarks.others.peers([other], inputs, 1)
    some = np.arange(0, len(tokens), 5)
    wanted = classifier.logits([(read["validation"].texts[0][i],) for i in some])
    np.testing.assert_array_equal(benchmarks.others.logits(own, some), wanted)
    found = benchmarks.peers.score_other(own, inputs, some)
    assert found.metrics == metrics.compute(run.task, read["validation"].labels[some], wanted)
    assert (found.flips, found.largest_difference) == (None, None)


def test_it_is_timed_in_the_same_turns_and_shown_as_other_weights(
    written, exported, benchmarks, monkeypatch, tmp_path, capsys
):
    other, folder = written
    run, _ = exported
    run_peers(
        benchmarks,
        monkeypatch,
        *(f"--run={run.path}", f"--inputs={folder}", f"--output={tmp_path / 'out.jsonl'}"),
        *("--lengths=24,32", f"--also={other.parent / 'int4.tflite'}"),
    )
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    ours, openvino, also = lines
    assert (also["run"], also["runtime"], also["recipe"]) == ("unpruned", "also", "int4")
    assert also["other"]["run"] == "searched-int4"
    assert also["other"]["sha256"] == files.sha256(other)
    assert also["bytes"] == other.stat().st_size
    assert (also["flips"], also["largest_difference"]) == (None, None)
    assert (ours["other"], ours["flips"]) == ({}, 0)
    # The file has the lengths 8, 16 and 32.
    assert list(openvino["latency"]) == ["24", "32", "unpadded"]
    assert list(also["latency"]) == ["32", "unpadded"]
    relative = also["latency"]["32"]["relative"]
    assert list(relative) == ["ours float32", "OpenVINO static int8"]
    beside_ours = relative["ours float32"]
    assert beside_ours["ratio"] == also["latency"]["32"]["ratio"]
    assert relative["OpenVINO static int8"]["ratio_of_min"] == pytest.approx(
        also["latency"]["32"]["min"] / openvino["latency"]["32"]["min"]
    )
    printed = capsys.readouterr().out
    (row, *_) = (line for line in printed.splitlines() if line.startswith("also [1] int4   "))
    assert row.split()[3:5] == ["-", "-"]  # No labels and logits are compared.
    assert "does not run at 24: its file has 8, 16, 32" in printed
    assert "int4.tflite of searched-int4, other weights than those of unpruned" in printed.replace(
        "\n", " "
    )


def test_a_file_whose_tokenizer_was_not_asked_is_refused(written, exported, benchmarks):
    inputs = benchmarks.inputs.PeerInputs.load(written[1])
    own = exported[1].model("dynamic_int8")
    with refuses(UserError, f"--also={own}", "peers_weights.py"):
        benchmarks.others.peers([own], inputs, 1)


def test_a_folder_stands_for_its_whole_files_and_others_are_refused(exported, benchmarks, tmp_path):
    export = exported[1]
    found = benchmarks.others.paths([str(export.path), str(export.model("float32"))])
    assert found == [export.model("dynamic_int8"), export.model("float32")]
    for given in (tmp_path, tmp_path / "nowhere.tflite"):
        with refuses(UserError, f"--also={given}"):
            benchmarks.others.paths([str(given)])


def test_a_file_of_another_task_is_refused(exported, benchmarks):
    from bert_glue_tf.data import tasks

    with refuses(UserError, "--also", "sst2", "cola"):
        benchmarks.others.tokens(exported[1].model("float32"), tasks.get("cola"), (["A text."],))
