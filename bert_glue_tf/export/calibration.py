"""The ranges of a file's activations: histograms over training sentences, and ways to cut them.

Four ways are compared by `selection`: the extremes, two percentiles, and the cut with the least
mean squared error.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from bert_glue_tf.export import flatbuffer, litert
from bert_glue_tf.models.parts import MASKED

_BINS = 2048
# exp(-12) is 6e-6: less than half of a step of int16's softmax, 1 / 32768, and of int8's, 1 / 256.
_NEAR = 12.0


Features = Mapping[str, np.ndarray]  # Of one example, by name: int32 [1, length] of a text.


Ranges = dict[str, tuple[float, float]]


@dataclasses.dataclass
class Histogram:
    """The values that one tensor took: counts int64 [bins] between low and high."""

    low: float
    high: float
    counts: np.ndarray

    def add(self, values: np.ndarray) -> None:
        """Count values of any shape; those outside fall into the outermost bins."""
        # In float64, and not np.histogram: that refuses a range of few float32 steps.
        width = max(self.high - self.low, np.finfo(np.float64).tiny)
        share = (values.astype(np.float64).ravel() - self.low) / width
        bins = len(self.counts)
        places = np.clip((share * bins).astype(np.int64), 0, bins - 1)
        self.counts += np.bincount(places, minlength=bins)

    def extremes(self) -> tuple[float, float]:
        """Return the smallest and the largest value."""
        return self.low, self.high

    def percentile(self, share: float) -> tuple[float, float]:
        """Return the range that leaves out (1 - share) / 2 of the values on either side."""
        edges = np.linspace(self.low, self.high, len(self.counts) + 1)
        cumulative = np.cumsum(self.counts) / self.counts.sum()
        tail = (1 - share) / 2
        first = int(np.searchsorted(cumulative, tail, side="right"))
        last = int(np.searchsorted(cumulative, 1 - tail, side="left"))
        return float(edges[first]), float(edges[last + 1])

    def least_squares(self, steps: int = 255) -> tuple[float, float]:
        """Return the range with the least mean squared error of rounding and clipping together.

        First the upper end moves towards 0, then the lower one (Sung et al. 2015, "Resiliency
        of deep neural networks under quantization", https://arxiv.org/abs/1511.06488,
        section 3, has one end: its weights are symmetric; activations are not).
        """
        # The scale always covers 0, as LiteRT's quantized tensors must.
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        factors = np.linspace(1.0, 0.02, 50)
        high = min((high * f for f in factors), key=lambda end: self._error(low, end, steps))
        low = min((low * f for f in factors), key=lambda end: self._error(end, high, steps))
        return float(low), float(high)

    def _error(self, low: float, high: float, steps: int) -> float:
        """Return the mean squared error of the values cut to [low, high] and rounded."""
        edges = np.linspace(self.low, self.high, len(self.counts) + 1)
        values = (edges[:-1] + edges[1:]) / 2
        step = (high - low) / steps
        if step == 0:
            return float(np.sum(self.counts * np.square(values)) / self.counts.sum())
        rounded = np.clip(np.round(values / step) * step, low, high)
        return float(np.sum(self.counts * np.square(values - rounded)) / self.counts.sum())


CUTS: Mapping[str, Callable[[Histogram], tuple[float, float]]] = {
    "extremes": Histogram.extremes,
    "percentile 99.99": lambda histogram: histogram.percentile(0.9999),
    "percentile 99.9": lambda histogram: histogram.percentile(0.999),
    "least squares": Histogram.least_squares,
}


def one_length(model: bytes, length: int) -> bytes:
    """Reduce a file of several signatures to one."""
    content = flatbuffer.read(model)
    del model
    flatbuffer.only_signature(content, litert.SIGNATURE.format(length))
    return flatbuffer.write(content)


def calibrate(model: bytes, examples: Sequence[Features]) -> dict[str, Histogram]:
    """Return histograms of every float activation of a file with one signature.

    Positions that are padding are left out: nothing of them reaches the logits. What a mask has
    added to their attention scores is shortened, so that int8 keeps its scale for the others.

    Args:
      model: float32 file.
      examples: features of training sentences, int32 [1, length] each.

    Raises:
      ValueError: no examples.
    """
    if not examples:
        raise ValueError("calibration needs at least one example")
    recorder = _Recorder(model)
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    for values in recorder.run(examples):
        for name, value in values.items():
            low[name] = min(low.get(name, np.inf), float(value.min()))
            high[name] = max(high.get(name, -np.inf), float(value.max()))
    histograms = {name: Histogram(low[name], high[name], np.zeros(_BINS, np.int64)) for name in low}
    for values in recorder.run(examples):
        for name, value in values.items():
            histograms[name].add(value)
    return histograms


class _Recorder:
    """A float file that is run and gives its inputs and the output of each operator."""

    def __init__(self, model: bytes) -> None:
        with warnings.catch_warnings():
            # That keeping all tensors is for debugging only: this is such a case.
            warnings.simplefilter("ignore")
            self._interpreter = Interpreter(
                model_content=model, num_threads=2, experimental_preserve_all_tensors=True
            )
        self._interpreter.allocate_tensors()
        self._runner = self._interpreter.get_signature_runner()
        graph = flatbuffer.read(model).subgraphs[0]
        details = {d["index"]: d for d in self._interpreter.get_tensor_details()}
        self._outputs = {
            graph.tensors[index].name.decode(): index
            for index in (*graph.inputs, *(one for op in graph.operators for one in op.outputs))
            if details[index]["dtype"] == np.float32
        }

    def run(self, examples: Iterable[Features]) -> Iterable[dict[str, np.ndarray]]:
        for features in examples:
            self._runner(**features)
            values = {
                name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()
            }
            mask = features.get("input_mask")  # What has none has no padding.
            if mask is not None:
                length, used = mask.shape[1], int(mask.sum())
                values = {
                    name: without_padding(value, length, used) for name, value in values.items()
                }
            yield values


def without_padding(value: np.ndarray, length: int, used: int) -> np.ndarray:
    """Return the values of an activation that a quantized file has to tell apart.

    Rows of padding are taken out of [..., length, n]. Attention scores [..., length, length] keep
    their columns of padding, which the softmax must go on seeing; but what is further below the
    largest score of every row than `_NEAR` is raised to there. After the softmax it is 0 in int8
    and in int16, be it padding to which a mask has added `MASKED` or a score.

    Args:
      value: of one text.
      length: positions of the file's inputs.
      used: positions that hold a word piece.
    """
    if value.ndim in (2, 3, 4) and value.shape[-2] == length:
        value = value[..., :used, :]
    scores, padding = value[..., :used], value[..., used:]
    # What adds `MASKED` to scores is left as it is: it is 0 wherever a word piece stands.
    is_masked = value.shape[-1:] == (length,) and padding.size and padding.max() < MASKED / 2
    if not is_masked or not scores.any():
        return value
    return np.maximum(value, scores.max(axis=-1).min() - _NEAR)
