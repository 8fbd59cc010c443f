"""A run's pruning in words."""

from __future__ import annotations

import pytest

from bert_glue_tf.compression import described
from bert_glue_tf.runs.config import ExperimentConfig

HEADS, NEURONS = "all attention heads", "all feed-forward neurons"
DENSE = "the encoder's dense layers"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"pruning_method": "classifier_magnitude"}, "the classifier"),
        ({"pruning_method": "magnitude"}, f"the weights of {DENSE}"),
        (
            {"pruning_method": "magnitude", "pruning_weights": "query"},
            f"the weights of {DENSE} that --pruning_weights chooses",
        ),
        ({"pruning_method": "row", "pruning_scope": "embeddings"}, "the embeddings"),
        (
            {"pruning_method": "block", "pruning_scope": "all"},
            "the weights of encoder, embeddings and classifier",
        ),
        ({"pruning_method": "attention_head"}, HEADS),
        ({"pruning_method": "layer"}, "all layers of the encoder"),
        ({"pruning_method": "vocabulary"}, "all word pieces of the vocabulary"),
        (
            {"pruning_method": "attention_head,neuron"},
            f"the weights of {HEADS} and {NEURONS}",
        ),
        (
            {"pruning_method": "attention_head,magnitude,row"},  # The last two of the same.
            f"the weights of {HEADS} and {DENSE}",
        ),
        (
            {"pruning_method": "mine,magnitude", "pruning_weights": "query"},
            f"the weights of what mine may prune and {DENSE} that --pruning_weights chooses",
        ),
    ],
)
def test_a_sparsity_says_in_plain_words_what_it_is_a_fraction_of(settings, told):
    assert described.part(ExperimentConfig(**settings).to_json()) == told
