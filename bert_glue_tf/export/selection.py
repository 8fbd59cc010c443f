"""Static int8 that does not collapse: calibrate, measure operator by operator, choose.

Quantized whole, BERT's .tflite falls to one class and becomes slower than float32, for two
reasons that both can be measured: some operators lose too much (a feed-forward output whose few
large channels leave an int8 scale nothing for the others), and some have no int8 kernel in
XNNPACK, so that the graph falls into dozens of pieces. So each operator (each matrix
product by itself, the others by their type) is quantized alone, its noise at the logits and the
number of pieces are written down, and the int8 file takes the operators with the least noise
whose noise together stays within a budget. A matrix product that is not taken keeps its int8
weights with activations quantized on the fly; any other operator stays float.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bert_glue_tf.export import alignment, flatbuffer, litert, quantize
from bert_glue_tf.export.calibration import CUTS, Features, Ranges, calibrate, one_length
from bert_glue_tf.models.quantization import recipes
from bert_glue_tf.models.quantization.recipes import Rule

# Noise power over the variance of the float logits that calibrated scales may add to that of
# scales taken on the fly. At 1 % about 2 % of CoLA's labels flip, those near the boundary, and
# its Matthews correlation moves by less than 0.01; docs/tflite.md.
NOISE_BUDGET = 0.01


# Judged by type. The matrix products are judged one by one.
_OTHER_TYPES = (
    *(name for name in recipes.INT16_OPERATIONS if name not in recipes.PRODUCTS),
    "SQUARED_DIFFERENCE",
    "AVERAGE_POOL_2D",
    "MAX_POOL_2D",
)


@dataclasses.dataclass(frozen=True)
class Unit:
    """Operators that are quantized together: one matrix product, or all of a type.

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
      reason: for leaving it out; empty where it is chosen.
    """

    unit: Unit
    noise: float
    pieces: int
    chosen: bool = False
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class Selection:
    """The findings of `select`, and the choice that it made.

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
    """Choose the operators that the int8 file computes in int8.

    Args:
      model: float32 file with any number of signatures.
      length: of the signature that is measured; the choice holds for all.
      calibration: features of training sentences, int32 [1, length], for the ranges.
      probe: other training sentences, for the noise.
      budget: noise that the chosen operators may add to that of dynamic_int8, as a share of the
        variance of the float logits.
    """
    single = one_length(model, length)
    measure = _Measure(single, probe)
    products, others = _units(single)
    histograms = calibrate(single, calibration)
    by_cut = {name: {k: cut(h) for k, h in histograms.items()} for name, cut in CUTS.items()}
    cuts = {name: measure.noise(products, ranges) for name, ranges in by_cut.items()}
    best = min(cuts, key=cuts.__getitem__)
    ranges = by_cut[best]

    findings = _each_alone(measure, products, others, ranges)
    float_pieces = litert.pieces(single)
    whole = [finding.unit for finding in findings if finding.pieces <= float_pieces]
    dynamic_noise = measure.noise([], ranges)
    count = _most_within(
        dynamic_noise + budget, len(whole), lambda n: measure.noise(whole[:n], ranges)
    )
    chosen = set(whole[:count])
    judged = tuple(_judge(finding, chosen, float_pieces) for finding in findings)
    everything = measure.file([*products, *others], ranges)
    return Selection(
        rules=_rules(_aligned(model, length), [f.unit for f in judged if f.chosen]),
        ranges=_for_all_signatures(model, length, ranges),
        cut=best,
        cuts=cuts,
        findings=judged,
        everything=(measure.noise([*products, *others], ranges), litert.pieces(everything)),
        noise=measure.noise(list(chosen), ranges),
        dynamic_noise=dynamic_noise,
        float_pieces=float_pieces,
    )


def _each_alone(
    measure: _Measure, products: Sequence[Unit], others: Sequence[Unit], ranges: Ranges
) -> list[Finding]:
    """Quantize each unit alone, and return the findings by rising noise."""
    product_pieces = litert.pieces(measure.file(products, ranges))
    findings = [Finding(unit, measure.noise([unit], ranges), product_pieces) for unit in products]
    for unit in others:
        # Together with the products, since between float operators another int8 operator
        # stands alone, with a conversion before and behind it.
        pieces = litert.pieces(measure.file([*products, unit], ranges))
        findings.append(Finding(unit, measure.noise([unit], ranges), pieces))
    return sorted(findings, key=lambda finding: finding.noise)


def _judge(finding: Finding, chosen: set[Unit], float_pieces: int) -> Finding:
    if finding.unit in chosen:
        return dataclasses.replace(finding, chosen=True)
    if finding.pieces > float_pieces:
        reason = f"no int8 kernel: cuts the graph into {finding.pieces} pieces"
    else:
        reason = "beyond the noise budget"
    return dataclasses.replace(finding, reason=reason)


def _most_within(budget: float, count: int, noise: Callable[[int], float]) -> int:
    """Return the largest number of first units whose noise is within the budget, by bisection."""
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
        self._names = [_output_names(single)]
        self._probe = {name: np.concatenate([f[name] for f in probe]) for name in probe[0]}
        self._logits = self._answers(single)

    def file(self, units: Sequence[Unit], ranges: Ranges) -> bytes:
        """Return the file with these units in int8, the other matrices as in dynamic_int8."""
        return quantize.quantize(self._single, _rules(self._names, units), ranges)

    def _answers(self, model: bytes) -> np.ndarray:
        """Return the logits of the probe; of positions with an answer each, those of no padding."""
        found = litert.LiteModel(model).predict(self._probe)
        return found if found.ndim == 2 else found[self._probe["input_mask"] > 0]

    def noise(self, units: Sequence[Unit], ranges: Ranges) -> float:
        logits = self._answers(self.file(units, ranges))
        difference = np.mean(np.square(logits - self._logits))
        # A constant model (or a single probe) has no variance to compare with.
        return float(difference / max(self._logits.var(), np.finfo(np.float32).tiny))


def _units(model: bytes) -> tuple[list[Unit], list[Unit]]:
    """Return the matrix products of a file with one signature, and its other types."""
    content = flatbuffer.read(model)
    graph, names = content.subgraphs[0], flatbuffer.operators(content)[0]
    products = [
        Unit(name, place, _label(flatbuffer.output_name(graph, place)))
        for place, name in enumerate(names)
        if name in recipes.PRODUCTS
    ]
    others = [
        Unit(name, None, f"all {names.count(name)} {name}")
        for name in _OTHER_TYPES
        if name in names
    ]
    return products, others


def _label(name: str) -> str:
    """`layer_0/output/MatMul;layer_0/output/BiasAdd1` -> `layer_0/output`, as a person says it."""
    return re.sub(r"/(?:MatMul|Conv2D)\d*$", "", name.split(";")[0])


def _output_names(model: bytes) -> dict[int, str]:
    """Return the names of the operators' outputs of a file with one signature, by their places."""
    graph = flatbuffer.read(model).subgraphs[0]
    return {place: flatbuffer.output_name(graph, place) for place in range(len(graph.operators))}


def _rules(names: Sequence[Mapping[int, str]], units: Sequence[Unit]) -> tuple[Rule, ...]:
    """Return rules that put these units into int8.

    Args:
      names: of each subgraph, the operators' outputs by the places that units have.
      units: to be put into int8.
    """
    rules = list(recipes.DYNAMIC_RULES)
    for unit in units:
        if unit.place is None:
            rules.append(Rule(unit.operation, activation_bits=8))
            continue
        for outputs in names:
            scope = quantize.scope_of(outputs[unit.place])
            rules.append(Rule(unit.operation, scope, activation_bits=8))
    return tuple(rules)


def _aligned(model: bytes, length: int) -> list[dict[int, str]]:
    """Return the names of the operators' outputs of each subgraph, by the places of one of them.

    Args:
      model: file with any number of signatures.
      length: of the signature of one text whose places count.

    Raises:
      ValueError: the subgraphs do not compute the same.
    """
    content = flatbuffer.read(model)
    key = litert.SIGNATURE.format(length)
    (measured,) = (
        signature.subgraphIndex
        for signature in content.signatureDefs
        if signature.signatureKey.decode() == key
    )
    names, source = flatbuffer.operators(content), content.subgraphs[measured]
    found = []
    for graph, own in zip(content.subgraphs, names, strict=True):
        places = alignment.places(source, graph, names[measured], own)
        found.append(
            {place: flatbuffer.output_name(graph, there) for place, there in places.items()}
        )
    return found


def _for_all_signatures(model: bytes, length: int, ranges: Ranges) -> Ranges:
    """Return the ranges under the names that the tensors have in each signature's subgraph."""
    single = one_length(model, length)
    own, (inputs,) = _output_names(single), _input_names(single)
    found = {
        name: ranges[own[place]]
        for names in _aligned(model, length)
        for place, name in names.items()
        if own[place] in ranges
    }
    for others in _input_names(model):
        found |= {others[key]: ranges[name] for key, name in inputs.items() if name in ranges}
    return found


def _input_names(model: bytes) -> list[dict[str, str]]:
    """Return the names of each signature's input tensors, by the inputs' own names."""
    content = flatbuffer.read(model)
    return [
        {
            one.name.decode(): content.subgraphs[signature.subgraphIndex]
            .tensors[one.tensorIndex]
            .name.decode()
            for one in signature.inputs
        }
        for signature in content.signatureDefs
    ]


def extremes(model: bytes, length: int, examples: Sequence[Features]) -> Ranges:
    """Return the smallest and largest value of every activation, for every signature."""
    histograms = calibrate(one_length(model, length), examples)
    ranges = {name: histogram.extremes() for name, histogram in histograms.items()}
    return _for_all_signatures(model, length, ranges)


def conclusion(selection: Selection) -> str:
    """Return the selection in one line."""
    products = [f for f in selection.findings if f.unit.place is not None]
    chosen = sum(finding.chosen for finding in products)
    noise, pieces = selection.everything
    return (
        f"{chosen} of {len(products)} matrix products in int8 (noise {selection.noise:.2%} of the "
        f"logits' variance; dynamic_int8: {selection.dynamic_noise:.2%}; everything in int8: "
        f"{noise:.1%} and {pieces} pieces)"
    )


def summary(selection: Selection) -> dict[str, Any]:
    """Return what the record of the int8 file says of the selection, in JSON types."""
    return {
        "cut": selection.cut,
        "noise_by_cut": dict(selection.cuts),
        "noise": selection.noise,
        "noise_of_dynamic_int8": selection.dynamic_noise,
        "noise_of_everything_int8": selection.everything[0],
        "pieces_of_everything_int8": selection.everything[1],
        "int8": [finding.unit.label for finding in selection.findings if finding.chosen],
        "not_int8": {
            finding.unit.label: finding.reason
            for finding in selection.findings
            if not finding.chosen
        },
    }


def report(selection: Selection) -> str:
    """Return the report per operator as tab-separated text, by rising noise."""
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
