"""TFDS reads no classes but its own, and takes no downloads but those that are known.

Kinds of hostile input: a class of anybody's named in a prepared data set, and files on a server
that are not GLUE's.
"""

from __future__ import annotations

import json

from messages import refuses

from bert_glue_tf.core import network
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import readers, tasks


def test_a_class_named_in_a_prepared_data_set_is_not_imported(tmp_path, monkeypatch):
    prepared = tmp_path / "glue" / "cola" / "2.0.0"
    prepared.mkdir(parents=True)
    (prepared / "dataset_info.json").write_text("{}")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    (tmp_path / "evil_features.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    nested = json.dumps({"type": "evil_features.Text", "content": {}})
    inner = {"pythonClassName": "evil_features.Text"}
    for content in (inner, {"featuresDict": {"features": {"a": inner}}}, {"json": nested}):
        (prepared / "features.json").write_text(json.dumps(content))
        with refuses(UserError, prepared, "features.json", "'evil_features.Text'"):
            readers.load(tasks.get("cola"), "tfds", "train")


def test_every_download_of_glue_has_a_known_checksum(monkeypatch, tmp_path):
    """TFDS compares what it has fetched with its list, and is told to take nothing else."""
    import tensorflow_datasets as tfds

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(network, "reachable", lambda url: True)
    given = []

    def prepare(self, download_config=None, **_):
        given.append(download_config)
        raise OSError("no network")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", prepare)
    with refuses(UserError, "no network"):
        readers.load(tasks.get("cola"), "tfds", "train")
    assert [config.force_checksums_validation for config in given] == [True]
    builder = tfds.builder("glue/cola", data_dir=str(tmp_path))
    # MRPC's three files have addresses of their own.
    urls = [config.data_url for config in builder.BUILDER_CONFIGS if config.data_url]
    assert len(urls) == 11
    assert all(len(builder.url_infos[url].checksum) == 64 for url in urls)
