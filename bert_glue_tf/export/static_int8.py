"""Static int8 that does not collapse: calibrate, measure operator by operator, choose.

Quantized whole, BERT's .tflite falls to one class and becomes slower than float32, for two
reasons that both can be measured: some operators lose too much (a feed-forward output whose few
large channels leave an int8 scale nothing for the others), and some have no int8 kernel in
XNNPACK, so that the graph falls into dozens of pieces. So each operator (each matrix
product by itself, the others by their type) is quantized alone, its noise at the logits and the
number of pieces are written down, and the int8 file takes the operators with the least noise
whose noise together stays within a budget. A matrix product that is not taken keeps its int8
weights with activations quantized on the fly; any other operator stays float.

The ranges come from a histogram of every activation over training sentences. Four ways to cut
them are compared by the noise that they leave: the extremes, two percentiles, and the cut
with the least mean squared error.
"""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from bert_glue_tf.export import flatbuffer, litert, tflite
from bert_glue_tf.export.tflite import Rule

# Noise power over the variance of the float logits that calibrated scales may add to that of
# scales taken on the fly. At 1 % about 2 % of CoLA's labels flip, those near the boundary, and
# its Matthews correlation moves by less than 0.01; docs/tflite.md.
NOISE_BUDGET = 0.01
_BINS = 2048
# Judged by type. The matrix products are judged one by one.
_OTHER_TYPES = (
    *(name for name in tflite.INT16_OPERATIONS if name != "FULLY_CONNECTED"),
    "SQUARED_DIFFERENCE",
)

Features = Mapping[str, np.ndarray]  # int32 [1, length] by name.
Ranges = dict[str, tuple[float, float]]


@dataclasses.dataclass
class Histogram:
    """The values that one tensor took: counts int64 [bins] between low and high."""

    low: float
    high: float
    counts: np.ndarray

    def add(self, values: np.ndarray) -> None:
        """Counts values, any shape; those outside fall into the outermost bins."""
        # In float64, and not np.histogram: that refuses a range of few float32 steps.
        width = max(self.high - self.low, np.finfo(np.float64).tiny)
        share = (values.astype(np.float64).ravel() - self.low) / width
        bins = len(self.counts)
        places = np.clip((share * bins).astype(np.int64), 0, bins - 1)
        self.counts += np.bincount(places, minlength=bins)

    def extremes(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return self.low, self.high

    def percentile(self, share: float) -> tuple[float, float]:
        """The range that leaves out (1 - share) / 2 of the values on either side."""
        edges = np.linspace(self.low, self.high, len(self.counts) + 1)
        cumulative = np.cumsum(self.counts) / self.counts.sum()
        tail = (1 - share) / 2
        first = int(np.searchsorted(cumulative, tail, side="right"))
        last = int(np.searchsorted(cumulative, 1 - tail, side="left"))
        return float(edges[first]), float(edges[last + 1])

    def least_squares(self, steps: int = 255) -> tuple[float, float]:
        """The range with the least mean squared error of rounding and clipping together.

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
        """Mean squared error of the values cut to [low, high] and rounded to its steps."""
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
    """A file of several signatures reduced to one."""
    content = flatbuffer.read(model)
    flatbuffer.only_signature(content, litert.SIGNATURE.format(length))
    return flatbuffer.write(content)


def calibrate(model: bytes, examples: Sequence[Features]) -> dict[str, Histogram]:
    """Histograms of every float activation of a file with one signature.

    Positions that are padding are left out: nothing of them reaches the logits.

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
    """Runs a float file and gives out what each operator puts out."""

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
            for op in graph.operators
            for index in op.outputs
            if details[index]["dtype"] == np.float32
        }

    def run(self, examples: Iterable[Features]) -> Iterable[dict[str, np.ndarray]]:
        for features in examples:
            self._runner(**features)
            mask = features["input_mask"]
            length, used = mask.shape[1], int(mask.sum())
            yield {
                name: _without_padding(self._interpreter.get_tensor(index), length, used)
                for name, index in self._outputs.items()
            }


def _without_padding(value: np.ndarray, length: int, used: int) -> np.ndarray:
    """[length, ...] or [heads, length, ...] without the rows of padding.

    The columns of attention scores keep their padding: the softmax must go on seeing it.
    """
    axis = 1 if value.ndim == 3 else 0
    if value.ndim in (2, 3) and value.shape[axis] == length:
        return value[:, :used] if axis else value[:used]
    return value


@dataclasses.dataclass(frozen=True)
class Unit:
    """What is quantized together: one matrix product, or all operators of a type.

    Attributes:
      operation: LiteRT's name of the operator.
      place: index among the subgraph's operators; None: all of this type.
      label: for the report.
    """

    operation: str
    place: int | None
    label: str


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
      unit: what was quantized alone.
      noise: power of the difference at the logits over the variance of the float logits.
      pieces: delegated pieces of the graph with this unit and all matrix products in int8.
      chosen: whether the int8 file has it in int8.
      reason: why not.
    """

    unit: Unit
    noise: float
    pieces: int
    chosen: bool = False
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class Selection:
    """What `select` found.

    Attributes:
      rules: for `tflite.quantize`, for every signature of the file.
      ranges: for the same.
      cut: the way to cut the ranges that left the least noise.
      cuts: each way and the noise that it leaves with all matrix products in int8.
      findings: the report, by rising noise.
      everything: noise and pieces of the file with everything in int8.
      noise: of the chosen operators together.
      dynamic_noise: of the file with no operator chosen.
      float_pieces: of the float32 file.
    """

    rules: tuple[Rule, ...]
    ranges: Ranges
    cut: str
    cuts: Mapping[str, float]
    findings: tuple[Finding, ...]
    everything: tuple[float, int]
    noise: float
    dynamic_noise: float
    float_pieces: int


def select(
    model: bytes,
    length: int,
    calibration: Sequence[Features],
    probe: Sequence[Features],
    budget: float = NOISE_BUDGET,
) -> Selection:
    """Chooses what the int8 file computes in int8.

    Args:
      model: float32 file with any number of signatures.
      length: of the signature that is measured; the choice holds for all.
      calibration: features of training sentences, int32 [1, length], for the ranges.
      probe: other training sentences, for the noise.
      budget: noise that the chosen operators may add to that of dynamic_int8, as a share of the
        variance of the float logits.
    """
    single = one_length(model, length)
    histograms = calibrate(single, calibration)
    measure = _Measure(single, probe)
    products, others = _units(single)

    by_cut = {name: {k: cut(h) for k, h in histograms.items()} for name, cut in CUTS.items()}
    cuts = {name: measure.noise(products, ranges) for name, ranges in by_cut.items()}
    best = min(cuts, key=cuts.__getitem__)
    ranges = by_cut[best]

    float_pieces = litert.pieces(single)
    product_pieces = litert.pieces(measure.file(products, ranges))
    findings = [
        Finding(unit, measure.noise([unit], ranges), product_pieces) for unit in products
    ] + [
        # Together with the products, since between float operators another int8 operator
        # stands alone, with a conversion before and behind it.
        Finding(
            unit,
            measure.noise([unit], ranges),
            litert.pieces(measure.file([*products, unit], ranges)),
        )
        for unit in others
    ]
    findings.sort(key=lambda finding: finding.noise)
    whole = [f for f in findings if f.pieces <= float_pieces]
    dynamic_noise = measure.noise([], ranges)
    count = _most_within(
        dynamic_noise + budget,
        len(whole),
        lambda n: measure.noise([f.unit for f in whole[:n]], ranges),
    )
    chosen = {finding.unit for finding in whole[:count]}
    judged = tuple(_judge(finding, chosen, float_pieces) for finding in findings)
    everything = measure.file([*products, *others], ranges)
    return Selection(
        rules=_rules(_output_names(model), [f.unit for f in judged if f.chosen]),
        ranges=_for_all_signatures(model, length, ranges),
        cut=best,
        cuts=cuts,
        findings=judged,
        everything=(measure.noise([*products, *others], ranges), litert.pieces(everything)),
        noise=measure.noise(list(chosen), ranges),
        dynamic_noise=dynamic_noise,
        float_pieces=float_pieces,
    )


def _judge(finding: Finding, chosen: set[Unit], float_pieces: int) -> Finding:
    if finding.unit in chosen:
        return dataclasses.replace(finding, chosen=True)
    if finding.pieces > float_pieces:
        reason = f"no int8 kernel: cuts the graph into {finding.pieces} pieces"
    else:
        reason = "beyond the noise budget"
    return dataclasses.replace(finding, reason=reason)


def _most_within(budget: float, count: int, noise: Callable[[int], float]) -> int:
    """The largest number of first units whose noise is within the budget, by bisection."""
    low, high = 0, count
    while low < high:
        middle = (low + high + 1) // 2
        if noise(middle) <= budget:
            low = middle
        else:
            high = middle - 1
    return low


class _Measure:
    """Noise of quantized variants of one float file on the probe sentences."""

    def __init__(self, single: bytes, probe: Sequence[Features]) -> None:
        self._single = single
        self._names = _output_names(single)
        self._probe = {name: np.concatenate([f[name] for f in probe]) for name in probe[0]}
        self._logits = litert.LiteModel(single).predict(self._probe)

    def file(self, units: Sequence[Unit], ranges: Ranges) -> bytes:
        """The file with these units in int8, and the other matrices as in dynamic_int8."""
        return tflite.quantize(self._single, _rules(self._names, units), ranges)

    def noise(self, units: Sequence[Unit], ranges: Ranges) -> float:
        logits = litert.LiteModel(self.file(units, ranges)).predict(self._probe)
        difference = np.mean(np.square(logits - self._logits))
        # A constant model (or a single probe) has no variance to compare with.
        return float(difference / max(self._logits.var(), np.finfo(np.float32).tiny))


def _units(model: bytes) -> tuple[list[Unit], list[Unit]]:
    """The matrix products of a file with one signature, and the other types that it has."""
    content = flatbuffer.read(model)
    graph, names = content.subgraphs[0], flatbuffer.operators(content)[0]
    products = [
        Unit(name, place, _label(flatbuffer.output_name(graph, place)))
        for place, name in enumerate(names)
        if name == "FULLY_CONNECTED"
    ]
    others = [
        Unit(name, None, f"all {names.count(name)} {name}")
        for name in _OTHER_TYPES
        if name in names
    ]
    return products, others


def _label(name: str) -> str:
    """`layer_0/output/MatMul;layer_0/output/BiasAdd1` -> `layer_0/output`, as a person says it."""
    return re.sub(r"/MatMul\d*$", "", name.split(";")[0])


def _output_names(model: bytes) -> list[list[str]]:
    """For each subgraph the names of its operators' outputs."""
    return [
        [flatbuffer.output_name(graph, place) for place in range(len(graph.operators))]
        for graph in flatbuffer.read(model).subgraphs
    ]


def _rules(names: Sequence[Sequence[str]], units: Sequence[Unit]) -> tuple[Rule, ...]:
    """Rules that put these units of a file with these outputs into int8, in every signature."""
    rules = list(tflite.DYNAMIC_RULES)
    for unit in units:
        if unit.place is None:
            rules.append(Rule(unit.operation, activation_bits=8))
            continue
        for outputs in names:
            scope = tflite.scope_of(outputs[unit.place])
            rules.append(Rule(unit.operation, scope, activation_bits=8))
    return tuple(rules)


def _for_all_signatures(model: bytes, length: int, ranges: Ranges) -> Ranges:
    """The ranges under the names that the tensors have in each signature's subgraph.

    All subgraphs come from the same function, so that the n-th operator of one is the n-th of
    another; that is checked.
    """
    content = flatbuffer.read(model)
    key = litert.SIGNATURE.format(length)
    (measured,) = (
        signature.subgraphIndex
        for signature in content.signatureDefs
        if signature.signatureKey.decode() == key
    )
    names = flatbuffer.operators(content)
    if any(other != names[measured] for other in names):
        raise ValueError("the signatures' subgraphs differ in their operators")
    source = content.subgraphs[measured]
    found = {}
    for graph in content.subgraphs:
        for place in range(len(graph.operators)):
            name = flatbuffer.output_name(source, place)
            if name in ranges:
                found[flatbuffer.output_name(graph, place)] = ranges[name]
    return found


def extremes(model: bytes, length: int, examples: Sequence[Features]) -> Ranges:
    """Smallest and largest value of every activation, for every signature of the file."""
    histograms = calibrate(one_length(model, length), examples)
    ranges = {name: histogram.extremes() for name, histogram in histograms.items()}
    return _for_all_signatures(model, length, ranges)


def conclusion(selection: Selection) -> str:
    """The selection in one line."""
    products = [f for f in selection.findings if f.unit.place is not None]
    chosen = sum(finding.chosen for finding in products)
    noise, pieces = selection.everything
    return (
        f"{chosen} of {len(products)} matrix products in int8 (noise {selection.noise:.2%} of the "
        f"logits' variance; dynamic_int8: {selection.dynamic_noise:.2%}; everything in int8: "
        f"{noise:.1%} and {pieces} pieces)"
    )


def report(selection: Selection) -> str:
    """The report per operator as tab-separated text, by rising noise."""
    lines = ["\t".join(["operation", "what", "noise", "pieces", "int8", "reason"])]
    lines += [
        "\t".join(
            [
                finding.unit.operation,
                finding.unit.label,
                f"{finding.noise:.6f}",
                str(finding.pieces),
                "yes" if finding.chosen else "no",
                finding.reason,
            ]
        )
        for finding in selection.findings
    ]
    return "\n".join(lines) + "\n"
