"""The study's own models on tiny data: a CNN and a BERT, trained and pruned both ways."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from messages import refused
from slow_fixtures import slow_to_make
from study_runs import command, read, train

from bert_glue_tf.models import families
from bert_glue_tf.models.text_cnn import importing
from bert_glue_tf.studies import local_global_models
from bert_glue_tf.studies.claims import Verdict
from bert_glue_tf.studies.local_global import LocalGlobal
from bert_glue_tf.studies.local_global_grids import Way

WORDS = {word: row for row, word in enumerate(("the", "film", "movie", "book", "is", "good"), 2)}
NOUNS = (3, 4, 5)
SMALL = {
    "epochs": "3",
    "batch_size": "32",
    "learning_rate": "0.01",
    "seq_length": "16",
}
MODELS = ("conv4", "bert_crf")


def sentences(number, seed):
    """Numbers of words [n, 6] and tags: one noun, or two, is an aspect."""
    random = np.random.default_rng(seed)
    found, tags = np.zeros((2, number, 6), np.int32)
    for row in range(number):
        nouns = list(random.choice(NOUNS, 1 + row % 3 // 2))
        words = [2, *nouns, 6, 7]
        found[row, : len(words)] = words
        tags[row, 1 : 1 + len(nouns)] = [1, 2][: len(nouns)]
    return found, tags


def as_text(found, tags):
    """The same sentences in the files of BERT-E2E-ABSA."""
    names, lines = {row: word for word, row in WORDS.items()}, []
    for row, tagged in zip(found, tags, strict=True):
        words = [names[one] for one in row if one]
        told = ["T-POS" if tag else "O" for tag in tagged[: len(words)]]
        pairs = " ".join(f"{word}={tag}" for word, tag in zip(words, told, strict=True))
        lines.append(f"{' '.join(words)}####{pairs}\n")
    return "".join(lines)


def write_data(folder):
    """Write DE-CNN's files of laptop, their vectors, and the files of laptop14."""
    for name in ("de_cnn", "embeddings", "laptop14"):
        (folder / name).mkdir(parents=True)
    (train_x, train_y), (test_x, test_y) = sentences(200, 1), sentences(40, 2)
    np.savez(
        folder / "de_cnn" / "laptop.npz",
        train_X=train_x,
        train_y=train_y,
        test_X=test_x,
        test_y=test_y,
    )
    (folder / "de_cnn" / "word_idx.json").write_text(json.dumps(WORDS))
    vectors = np.random.default_rng(3).normal(size=(8, 6))
    np.savez(folder / "embeddings" / "de_cnn_gen_emb.npz", spacy_md_300d=vectors)
    for name, number, seed in (("train", 96, 4), ("dev", 32, 5), ("test", 40, 2)):
        (folder / "laptop14" / f"{name}.txt").write_text(as_text(*sentences(number, seed)))
    return folder


@pytest.fixture(scope="module")
@slow_to_make
def studied(tiny_encoder, tmp_path_factory):
    """Both models at one sparsity, all runs finished; the command has made the CNN's encoder."""
    root = tmp_path_factory.mktemp("models")
    data = write_data(root / "absa")
    flags = {
        **SMALL,
        "models": ",".join(MODELS),
        "sparsities": "0.5",
        "seeds": "1",
        "data": data,
        "encoder": tiny_encoder,
        "runs_dir": root / "runs",
    }
    planned = command("reproduce_local_global", "--dry_run", **flags)
    assert planned.returncode == 0, planned.stderr
    assert "Of 10 runs 0 are finished" in planned.stdout
    encoders = {
        "conv4": str(root / "runs" / "encoders" / "conv4"),
        "bert_crf": str(tiny_encoder),
    }
    grids = [
        grid
        for name in MODELS
        for grid in local_global_models.grids(
            local_global_models.MODELS[name],
            {**SMALL, "data": str(data), "encoder": encoders[name]},
            [0.5],
            [1],
            list(Way),
        )
    ]
    study = LocalGlobal(grids)
    train(study.cells, root / "runs")
    study.run(root / "runs")
    return study, flags


def test_the_encoder_is_made_of_the_vectors_beside_the_data(studied):
    _, flags = studied
    found = importing.read(flags["runs_dir"] / "encoders" / "conv4")
    assert found.words[4:] == tuple(WORDS)
    assert families.importing("text_cnn", flags["runs_dir"] / "encoders" / "conv4")


def test_equal_sparsity_is_equal_and_the_regrown_shares_are_told(studied):
    study, _ = studied
    conv, conv_regrown, bert, bert_regrown = study.grids
    for grid in (conv, bert):
        row = study.scores(grid).values()[1]
        assert row["local's zeros"] == pytest.approx(0.5, abs=0.01)
        assert row["global's zeros"] == pytest.approx(0.5, abs=0.01)
    parts = study.zeros[conv_regrown.name]["local", 0.5]
    wanted = {"general vectors": 0.5, **{f"layer {n}": 0.55 for n in range(1, 5)}}
    assert {part: parts[part] for part in wanted} == pytest.approx(wanted, abs=0.02)
    row = study.scores(conv_regrown).values()[1]
    assert row["global's zeros"] == pytest.approx(0.51, abs=0.01)
    parts = study.zeros[bert_regrown.name]["local", 0.5]
    shares = local_global_models.shares(local_global_models.MODELS["bert_crf"], 0.5)
    assert parts["words"] == pytest.approx(shares["words"], abs=0.01)
    assert parts["positions"] == 0


def test_scores_are_those_of_the_test_file(studied):
    study, _ = studied
    for grid in study.grids:
        group = study.group(grid.unpruned)
        (record,) = study.records_of(grid.unpruned)
        assert group.mean == record.metrics["span_f1_test"]
        assert group.first.examples == 40
        found = study.local_against_global(grid)[0.5]
        local, whole = (study.records_of(grid.pruned[r, 0.5])[0] for r in ("local", "global"))
        both = [one.metrics["span_f1_test"] for one in (local, whole)]
        assert found.difference.mean == pytest.approx(both[0] - both[1])


def test_the_claims_of_its_models_are_answered(studied):
    study, _ = studied
    found = {one.claim: one for one in study.answers()}
    assert {"local_global.local", "local_global.conv", "local_global.bert_zeros"} <= set(found)
    # 50 % is neither the 60 nor the 80 % that the claims speak of.
    assert "local_global.bert_until_60" not in found
    conv = found["local_global.conv"]
    # Only one of its two models was run, so that it cannot hold.
    assert conv.verdict in (Verdict.CANNOT_BE_TOLD, Verdict.DOES_NOT_HOLD)
    assert conv.numbers.startswith("1 of its 2 models were run. ")
    assert conv.examples == 40
    assert "As the authors' code, at unequal sparsity: " in conv.numbers
    assert "gone) against global (" in conv.numbers


def test_the_command_shows_what_is_finished(studied, tmp_path):
    study, flags = studied
    place = {"output": tmp_path / "out", "encoders": flags["runs_dir"] / "encoders"}
    done = command("reproduce_local_global", **place, **flags)
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    files = {f"{grid.name}_{what}.csv" for grid in study.grids for what in ("scores", "zeros")}
    assert {"local_global.md", "local_global_claims.json", "local_global_overview.csv"} <= names
    assert files <= names
    rows = read(tmp_path / "out" / "local_global_embeddings.csv")
    assert [row["model"] for row in rows] == ["BERT-base, Figure 10", "BERT-crf, laptop14"]
    rows = read(tmp_path / "out" / "local_global_overview.csv")
    assert [row["model"] for row in rows] == [grid.title for grid in study.grids]
    assert "conv4_regrown_zeros.png" in names
    text = (tmp_path / "out" / "local_global.md").read_text()
    assert "Equal sparsity: " in text
    assert "As the authors' code: " in text
    assert "The recipe of a CNN is not all that of the authors' code" in text
    answers = json.loads((tmp_path / "out" / "local_global_claims.json").read_text())
    assert "--models=conv4,bert_crf" in answers["made_by"]
    assert "--encoders" not in answers["made_by"]
    assert "scored on 40 of the test file (span_f1)" in text
    assert "holds" in text


# --- the encoders of its CNNs ---


def planned(flags, **changes):
    given = {name: flags[name] for name in ("data", "runs_dir", "sparsities", "seeds")}
    return command("reproduce_local_global", "--dry_run", **{"models": "conv4", **given, **changes})


def test_an_encoder_that_is_made_is_not_taken_for_one_of_other_vectors(studied, tmp_path):
    _, flags = studied
    again = planned(flags, vectors=flags["data"] / "embeddings" / "de_cnn_gen_emb.npz")
    assert again.returncode == 0, again.stderr
    np.savez(tmp_path / "other.npz", spacy_md_300d=np.ones((8, 6)))
    refused(planned(flags, vectors=tmp_path / "other.npz"), "other.npz", "conv4", "--encoders=NEW")
    refused(planned(flags, table="other"), "--table=other", "conv4", "--encoders=NEW")
    shutil.copytree(flags["runs_dir"] / "encoders" / "conv4", tmp_path / "own" / "conv4")
    done = planned(flags, encoders=tmp_path / "own", table="spacy_md_300d")
    refused(done, "--table=spacy_md_300d", "nothing says of which vectors")
    assert planned(flags, encoders=tmp_path / "own").returncode == 0


def test_no_encoder_is_made_before_all_shares_are_known(tmp_path):
    flags = {"data": write_data(tmp_path / "absa"), "runs_dir": tmp_path / "runs", "seeds": 1}
    refused(planned({**flags, "sparsities": "0.55"}), "--sparsities", "55 %")
    assert not (tmp_path / "runs").exists()


def test_a_text_file_of_vectors_names_its_words_itself(studied, tmp_path):
    _, flags = studied
    lines = [f"{word} {row} 1 2 3 4 5" for word, row in WORDS.items()]
    (tmp_path / "own.txt").write_text("\n".join(lines) + "\n")
    done = planned(flags, vectors=tmp_path / "own.txt", encoders=tmp_path / "made")
    assert done.returncode == 0, done.stderr
    assert importing.read(tmp_path / "made" / "conv4").words[4:] == tuple(WORDS)
    made_of = json.loads((tmp_path / "made" / "conv4_made_of.json").read_text())
    assert set(made_of) == {"vectors", "table"}
