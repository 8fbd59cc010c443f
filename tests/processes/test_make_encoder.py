"""The command that writes the folder of a CNN."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from messages import refused

from bert_glue_tf.models import families
from bert_glue_tf.models.text_cnn import importing


def make(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command, where gensim cannot be imported: only domain vectors need it."""
    program = (
        "import sys; sys.modules['gensim'] = None; sys.argv[0] = 'make_encoder'\n"
        "from bert_glue_tf import make_encoder; make_encoder.command()"
    )
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_folder_is_written_of_a_file_and_the_words_of_a_task(tiny_glue, tmp_path):
    vectors = tmp_path / "vectors.txt"
    lines = [f"{word} {number} 1 2" for number, word in enumerate("of good the great The".split())]
    vectors.write_text("\n".join(lines) + "\n")
    folder = tmp_path / "conv4"
    given = (f"--vectors={vectors}", "--most_words=1", "--task=sst2", f"--data={tiny_glue}")
    done = make("--design=conv4", *given, "--licence=CC0", f"--output={folder}")
    assert done.returncode == 0, done.stderr
    assert "of the words of the training texts have a vector" in done.stdout
    found = importing.read(folder)
    # The first, and those of the training texts, which have no capital letter.
    assert found.words[4:] == ("of", "good", "the", "great")
    np.testing.assert_array_equal(found.tables["words/general/embeddings"][5], [1, 1, 2])
    assert found.said == {"design": "conv4", "licence": "CC0", "source": "vectors.txt"}
    assert families.importing("text_cnn", folder) is families.get("text_cnn")
    refused(make("--design=conv4", *given, f"--output={folder}"), f"--output={folder}")
    refused(make("--design=de_cnn", *given, f"--output={folder}2"), "gensim", "vectors]")
    refused(make("--design=conv4", f"--output={folder}2"), "--vectors")


def test_domain_vectors_stand_beside_those_of_an_array(tiny_glue, tmp_path):
    pytest.importorskip("gensim")
    np.savez(tmp_path / "vectors.npz", a=np.ones((6, 3)), b=np.full((6, 3), 2.0))
    (tmp_path / "words.json").write_text('{"good": 2, "keyboards": 5}')
    given = (f"--vectors={tmp_path / 'vectors.npz'}", "--task=sst2", f"--data={tiny_glue}")
    words = f"--words={tmp_path / 'words.json'}"
    folder = tmp_path / "de_cnn"
    refused(make("--design=de_cnn", *given, f"--output={folder}"), "--words")
    command = [sys.executable, "-m", "bert_glue_tf.make_encoder", "--design=de_cnn", *given, words]
    command += ["--table=b", "--domain_epochs=1", f"--output={folder}"]
    subprocess.run(command, check=True, capture_output=True)
    found = importing.read(folder)
    assert found.words[4:] == ("good", "keyboards")
    assert found.tables["words/general/embeddings"][4:].tolist() == [[2, 2, 2]] * 2
    domain = found.tables["words/domain/embeddings"]
    assert domain.shape == (6, 100)
    assert domain[4:].any(axis=1).all()
