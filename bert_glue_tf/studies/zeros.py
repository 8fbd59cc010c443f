"""Where the zeros of pruned models are: the fraction of zeros in each part of the network."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from bert_glue_tf.models.backbone import Backbone
from bert_glue_tf.reports.tables import Column, Table
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.studies import printed, words

RANKINGS = ("local", "global")
# (ranking, sparsity) -> part of the model -> its fraction of zeros.
Zeros = dict[tuple[str, float], dict[str, float]]


@dataclasses.dataclass(frozen=True)
class ZeroRow:
    """The fraction of zeros in one part of the model, by ranking and sparsity."""

    part: str
    values: Mapping[tuple[str, float], float]


def table(found: Zeros, rankings: Sequence[str] = RANKINGS) -> Table[ZeroRow]:
    """Return a row for each part of the model, a column for each ranking and sparsity.

    Where only one ranking is asked for, the columns' titles leave it out.
    """
    parts = list(dict.fromkeys(name for values in found.values() for name in values))
    ordered = [key for ranking in rankings for key in sorted(found) if key[0] == ranking]
    rows = [
        ZeroRow(part, {key: found[key].get(part, math.nan) for key in ordered}) for part in parts
    ]
    shown = [_zeros(key, named=len(rankings) > 1) for key in ordered]
    return Table((Column("part", lambda row: row.part), *shown), tuple(rows))


def _zeros(key: tuple[str, float], named: bool) -> Column[ZeroRow]:
    ranking, sparsity = key
    head = f"{ranking} {words.percent(sparsity)}" if named else words.percent(sparsity)
    return Column(head, lambda row: row.values[key], lambda value: f"{100 * value:.1f}")


@dataclasses.dataclass(frozen=True)
class EmbeddingRow:
    """The embeddings of one model.

    Attributes:
      title: the name to call it by.
      weights: part of the network -> number of its weights, and their share as a fraction.
    """

    title: str
    weights: Mapping[str, tuple[int, float]]


def has_embeddings(parts: Collection[str]) -> bool:
    """Tell whether a network has the parts that the study's Figure 10 counts, as a BERT."""
    return set(printed.embedding_weights()) <= set(parts)


def embedding_row(title: str, sizes: Mapping[str, int], whole: int) -> EmbeddingRow:
    """Return the row of one of our models.

    Args:
      title: the name to call it by.
      sizes: part of the network -> number of its weights.
      whole: number of all weights.
    """
    return EmbeddingRow(title, {part: (n, n / whole) for part, n in sizes.items()})


def embeddings(models: Iterable[EmbeddingRow]) -> Table[EmbeddingRow]:
    """Return the weights in the embeddings of BERTs beside those that the study's Figure 10 prints.

    Args:
      models: ours; those without such parts are left out.

    Returns:
      A table without rows where none has them.
    """
    theirs = printed.embedding_weights()
    rows = [one for one in models if has_embeddings(one.weights)]
    first = [EmbeddingRow("BERT-base, Figure 10", theirs)] if rows else []
    columns = [_embedding(part) for part in theirs]
    return Table((Column("model", lambda row: row.title), *columns), (*first, *rows))


def _embedding(part: str) -> Column[EmbeddingRow]:
    return Column(part, lambda row: row.weights[part], lambda told: f"{told[0]:,} ({told[1]:.4%})")


def removed(records: Sequence[ExperimentResult]) -> float | None:
    """Return the share of the weights in scope that are zero, mean over the seeds."""
    found = [one.parameters["pruned"] / one.parameters["prunable"] for one in records]
    return float(np.mean(found)) if found else None


def lines(found: Zeros) -> dict[str, dict[str, Mapping[str, float]]]:
    """Return ranking -> sparsity -> part -> fraction of zeros, as a figure takes them."""
    return {
        ranking: {
            words.percent(s): values for (r, s), values in sorted(found.items()) if r == ranking
        }
        for ranking in RANKINGS
    }


def spread(
    sparsity: Mapping[str, float], sizes: Mapping[str, int], family: type[Backbone]
) -> dict[str, float]:
    """Return part of the model -> fraction of its prunable weights that are zero, bottom to top.

    Args:
      sparsity: of a record: weight -> fraction of it that is zero.
      sizes: weight -> its number of elements.
      family: of the run's encoder, which knows the parts by the weights' names.
    """
    zeros: dict[str, float] = {}
    whole: dict[str, int] = {}
    for name, fraction in sparsity.items():
        key = family.part_of(name)
        zeros[key] = zeros.get(key, 0.0) + fraction * sizes[name]
        whole[key] = whole.get(key, 0) + sizes[name]
    return {key: zeros[key] / whole[key] for key in sorted(zeros, key=family.place_of)}


def sizes(folder: pathlib.Path) -> dict[str, int]:
    """Return weight -> number of elements, of the model that a run has saved."""
    from bert_glue_tf.models import saving

    name_of = saving.family_of(folder).name_of
    return {name_of(v): math.prod(v.shape) for v in saving.load_saved(folder).variables}
