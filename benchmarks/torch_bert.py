"""The same classifier in PyTorch: BERT (Devlin et al. 2018, arXiv:1810.04805) in plain modules.

Written here rather than taken from a library, so that the comparison installs less and both
sides hold the same weights under the same names. Its linear layers are `torch.nn.Linear`,
which is what `quantize_dynamic` looks for, and its attention is PyTorch's own fused one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bert_glue_tf.models.bert.architecture import Architecture

LAYER_NORM_EPSILON = 1e-12
_ACTIVATIONS = {
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "relu": nn.ReLU,
}


class Attention(nn.Module):
    """Self-attention of [batch, length, hidden]; `mask` is bool [batch, 1, 1, length]."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)
        self.attention_output = nn.Linear(hidden, hidden)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        def split(values: torch.Tensor) -> torch.Tensor:
            return values.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        context = functional.scaled_dot_product_attention(
            split(self.query(hidden)),
            split(self.key(hidden)),
            split(self.value(hidden)),
            attn_mask=mask,
        )
        return self.attention_output(context.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Attention and feed-forward network, each with its residual and layer norm."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        hidden, inner = architecture.hidden_size, architecture.inner_dim
        self.self_attention = Attention(hidden, architecture.heads)
        self.self_attention_layer_norm = nn.LayerNorm(hidden, LAYER_NORM_EPSILON)
        self.intermediate = nn.Linear(hidden, inner)
        self.activation = _ACTIVATIONS[architecture.activation]()
        self.output = nn.Linear(inner, hidden)
        self.output_layer_norm = nn.LayerNorm(hidden, LAYER_NORM_EPSILON)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        attended = self.self_attention_layer_norm(hidden + self.self_attention(hidden, mask))
        inner = self.activation(self.intermediate(attended))
        return self.output_layer_norm(attended + self.output(inner))


class Classifier(nn.Module):
    """int32 [batch, length] features to float32 [batch, classes] logits."""

    def __init__(self, architecture: Architecture, classes: int) -> None:
        super().__init__()
        hidden = architecture.hidden_size
        self.word_embeddings = nn.Embedding(architecture.vocab_size, hidden)
        self.position_embedding = nn.Embedding(architecture.positions, hidden)
        self.type_embeddings = nn.Embedding(architecture.type_vocab_size, hidden)
        self.embeddings = nn.ModuleDict({"layer_norm": nn.LayerNorm(hidden, LAYER_NORM_EPSILON)})
        self.transformer = nn.ModuleDict(
            {f"layer_{index}": Layer(architecture) for index in range(architecture.layers)}
        )
        self.pooler_transform = nn.Linear(hidden, hidden)
        self.classifier = nn.Linear(hidden, classes)

    def forward(
        self,
        input_word_ids: torch.Tensor,
        input_mask: torch.Tensor,
        input_type_ids: torch.Tensor,
    ) -> torch.Tensor:
        length = input_word_ids.shape[1]
        hidden = self.embeddings["layer_norm"](
            self.word_embeddings(input_word_ids)
            + self.type_embeddings(input_type_ids)
            + self.position_embedding.weight[:length]
        )
        mask = input_mask.bool()[:, None, None, :]
        for layer in self.transformer.values():
            hidden = layer(hidden, mask)
        return self.classifier(torch.tanh(self.pooler_transform(hidden[:, 0])))


def build(architecture: Architecture, weights: Mapping[str, np.ndarray]) -> Classifier:
    """The classifier with its weights, in inference mode.

    Args:
      architecture: of the encoder.
      weights: canonical name -> float32 array, `classifier/kernel` and `/bias` among them.

    Raises:
      RuntimeError: a weight is missing, left over, or of another shape.
    """
    model = Classifier(architecture, len(weights["classifier/bias"]))
    model.load_state_dict(
        {
            _name(name): torch.from_numpy(np.ascontiguousarray(_laid_out(name, value)))
            for name, value in weights.items()
        }
    )
    return model.eval()


def _name(name: str) -> str:
    """`transformer/layer_0/output/kernel` -> `transformer.layer_0.output.weight`."""
    parts = name.split("/")
    renamed = {"kernel": "weight", "gamma": "weight", "beta": "bias", "embeddings": "weight"}
    return ".".join([*parts[:-1], renamed.get(parts[-1], parts[-1])])


def _laid_out(name: str, value: np.ndarray) -> np.ndarray:
    """PyTorch keeps a kernel as [out, in]; ours keep the heads of attention apart."""
    if "/self_attention/" in name:
        if name.endswith("attention_output/kernel"):
            value = value.reshape(-1, value.shape[-1])
        elif not name.endswith("attention_output/bias"):
            value = value.reshape((len(value), -1) if value.ndim == 3 else -1)
    return value.T if name.endswith("/kernel") else value
