"""A file leaves out blocks without units, after a training on its grids too."""

from __future__ import annotations

import dataclasses

import numpy as np
import tiny_bert

from bert_glue_tf.data import tasks
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.export import convert, litert, quantize, trained
from bert_glue_tf.models import heads, saving
from bert_glue_tf.models.bert.architecture import Block
from bert_glue_tf.models.bert.backbone import BertBackbone
from bert_glue_tf.models.bert.network import build_encoder
from bert_glue_tf.models.quantization.imitation import settle

LASTS = ("layer_0/self_attention/attention_output", "layer_1/output")


def test_the_file_of_a_trained_grid_computes_the_network_without_its_empty_blocks(tmp_path):
    shapes = tiny_bert.architecture(layers=2, hidden=32, heads=2)
    shapes = dataclasses.replace(shapes, blocks=(Block(1, 1, 1, 64), Block(2, 16, 16, 1)))
    drawn = tiny_bert.weights(shapes)
    for name in LASTS:
        drawn[f"transformer/{name}/kernel"][:] = 0.0
    encoder = build_encoder(shapes, drawn.__getitem__, recipe="int4")
    encoder.begin()
    model = heads.attach(encoder, 2, dropout=0.0, seed=0)
    settle(model)
    text = tiny_bert.write_preprocessing(tmp_path / "preprocessing")
    folder = tmp_path / "model"
    saving.save(model, tiny_bert.backbone(encoder, shapes, text), tasks.get("sst2"), folder)
    grids = BertBackbone.trained_grids(folder)
    assert set(grids.clips) == {
        *(f"layer_0/{name}" for name in ("intermediate", "output")),
        *(f"layer_1/self_attention/{n}" for n in ("query", "key", "value", "attention_output")),
    }
    plain = convert.convert(folder, [8])
    rules, ranges, told = trained.rules_and_ranges(plain, grids)
    assert told["block"] == 32  # One number of an empty block decides about no others.
    file = litert.LiteModel(quantize.quantize(plain, rules, ranges), threads=1)
    row = np.array([[2, 70, 80, 3, 0, 0, 0, 0]], np.int32)
    batch = dict(zip(INPUTS, (row, (row > 0).astype(np.int32), 0 * row), strict=True))
    np.testing.assert_allclose(file.predict(batch), model(batch).numpy(), atol=1e-5)
