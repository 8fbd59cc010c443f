"""The choice of the units that go: the lowest scores of a matrix, of the scope, or by LAMP.

Pure NumPy, and the same on every replica and every worker, since the same weights come in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    from bert_glue_tf.models.units import Group

# A structure of few units reaches few sparsities; nearer than this is what was asked for.
TOLERANCE = 0.01


def lowest(scores: np.ndarray, count: int) -> np.ndarray:
    """Return the mask [same shape, bool] that is False for exactly the `count` lowest scores.

    Of equal scores those that come first go.
    """
    if count <= 0:
        return np.ones(scores.shape, bool)
    flat = scores.reshape(-1)
    threshold = _of_rank(flat, count)
    mask = flat >= threshold
    below = flat.size - np.count_nonzero(mask)
    mask[np.flatnonzero(flat == threshold)[: count - below]] = False
    return mask.reshape(scores.shape)


def _of_rank(scores: np.ndarray, count: int) -> np.floating:
    """Return the score that is the `count`-th lowest."""
    # Where half are equal, as those of units that are gone, and the rank is near theirs, NumPy's
    # partition takes seven times as long as without, and five times as long as sorting (2.4, with
    # AVX-512; in a matrix of 590,000 weights).
    if np.count_nonzero(scores) < 0.9 * scores.size:
        return np.sort(scores)[count - 1]
    return np.partition(scores, count - 1)[count - 1]


def lamp(scores: np.ndarray) -> np.ndarray:
    """Return LAMP's score of a matrix: s(u)^2 over the sum of s(v)^2 of all v ranked no lower.

    Lee et al. 2021, "Layer-adaptive sparsity for the magnitude-based pruning", eq. (1)
    (https://arxiv.org/abs/2010.07611). In float64; -inf stays so.
    """
    flat = scores.reshape(-1)
    order = np.argsort(flat, kind="stable")
    squares = np.where(np.isfinite(flat), flat, 0.0).astype(np.float64)[order] ** 2
    rest = np.cumsum(squares[::-1])[::-1]
    result = np.empty(flat.shape)
    result[order] = np.divide(squares, rest, out=np.zeros_like(squares), where=rest > 0)
    result[~np.isfinite(flat)] = -np.inf
    return result.reshape(scores.shape)


def choose(
    groups: Sequence[Group],
    scores: Iterable[np.ndarray],
    sparsity: float | Sequence[float],
    ranking: str,
    alive: Sequence[np.ndarray] | None = None,
) -> list[np.ndarray]:
    """Return the masks of the units that stay.

    Args:
      groups: what is ranked.
      scores: for each group, of its units' shape; gone through once.
      sparsity: fraction of the units that go, or of each group's; of the weights where the units
        differ in size.
      ranking: local, global or lamp.
      alive: for each group False for a unit that is gone already by another method; such units
        take no part, and their mask is True.

    Returns:
      For each group a bool array of its units' shape.
    """
    if alive is None:
        alive = [np.ones(group.units, bool) for group in groups]
    shares = _of_each(sparsity, groups)
    if ranking == "local":
        masks = []
        for group, score, live, share in zip(groups, scores, alive, shares, strict=True):
            left = int(np.count_nonzero(live))
            # One unit stays, as below; which was refused before, unless other methods have left
            # fewer units than the structure has.
            most = left if group.is_elementwise else left - 1
            masks.append(_among(score, live, min(round(share * left), most)))
        return masks
    sparsity = shares[0]  # Of what competes all have the same.
    if ranking == "lamp":
        scores = [
            lamp(np.where(live, score, -np.inf)) for score, live in zip(scores, alive, strict=True)
        ]
    # The best unit of a layer stays, or nothing would go through the layer.
    scores = [
        score if group.is_elementwise else _with_one_left(score, live)
        for group, score, live in zip(groups, scores, alive, strict=True)
    ]
    live = np.concatenate([mask.reshape(-1) for mask in alive])
    flat = np.concatenate([score.reshape(-1) for score in scores])
    if len({group.unit_size for group in groups}) == 1:
        # After an earlier method fewer may be left than was asked whether they can go.
        there = int(np.count_nonzero(live))
        most = there - _staying(groups, alive)
        kept = _among(flat, live, min(round(sparsity * there), most))
    else:
        sizes = np.concatenate([np.full(group.count, group.unit_size) for group in groups])
        kept = _by_size(flat, live, sizes, sparsity)
    ends = np.cumsum([group.count for group in groups])[:-1]
    return [
        part.reshape(group.units) for part, group in zip(np.split(kept, ends), groups, strict=True)
    ]


def _of_each(sparsity: float | Sequence[float], groups: Sequence[Group]) -> Sequence[float]:
    return [sparsity] * len(groups) if isinstance(sparsity, int | float) else sparsity


def _among(scores: np.ndarray, alive: np.ndarray, count: int) -> np.ndarray:
    if alive.all():
        return lowest(scores, count)
    mask = np.ones(scores.shape, bool)
    mask[alive] = lowest(scores[alive], count)
    return mask


def _staying(groups: Sequence[Group], alive: Sequence[np.ndarray]) -> int:
    """Return the number of units that stay in any case: the best that is left of each group."""
    return sum(
        not group.is_elementwise and bool(live.any())
        for group, live in zip(groups, alive, strict=True)
    )


def limits(
    groups: Sequence[Group],
    masks: Sequence[np.ndarray],
    sparsity: float | Sequence[float],
    alive: Sequence[np.ndarray] | None,
) -> list[str]:
    """Return what a user has to know of the masks that `choose` returned, a sentence each.

    A matrix whose single weights are all gone passes nothing on ("layer collapse", Tanaka et al.
    2020, https://arxiv.org/abs/2006.05467). Of larger units one stays, so that the sparsity that is
    asked for may be missed where earlier methods have left few.

    Args:
      groups, sparsity, alive: as for `choose`.
      masks: what it returned.
    """
    told = []
    left = gone = stay = 0
    wanted = 0.0
    shares = _of_each(sparsity, groups)
    for number, (group, mask) in enumerate(zip(groups, masks, strict=True)):
        live = None if alive is None else alive[number]
        kept = mask if live is None else mask[live]
        if kept.size and not kept.any():
            told.append(f"all {group.what}s of {group.name} are gone: only its bias is left of it")
        left += group.unit_size * kept.size
        wanted += group.unit_size * kept.size * shares[number]
        gone += group.unit_size * (kept.size - int(np.count_nonzero(kept)))
        stay += group.unit_size * (kept.size > 0) * (not group.is_elementwise)
    if wanted > left - stay + TOLERANCE * left:
        told.append(
            f"{gone / left:.4g} of what earlier methods have left is gone, and not "
            f"{wanted / left:.4g}: one {groups[0].what} of each layer or matrix stays"
        )
    return told


def _with_one_left(scores: np.ndarray, alive: np.ndarray) -> np.ndarray:
    scores = scores.astype(np.float64, copy=True)
    best = np.argmax(np.where(alive, scores, -np.inf))
    scores.reshape(-1)[best] = np.inf
    return scores


def _by_size(
    scores: np.ndarray, alive: np.ndarray, sizes: np.ndarray, sparsity: float
) -> np.ndarray:
    """Remove the lowest scores as long as that brings their size nearer to what is asked for."""
    wanted = sparsity * sizes[alive].sum()
    order = np.argsort(scores, kind="stable")
    order = order[alive[order] & (scores[order] < np.inf)]  # The others stay in any case.
    gone = np.cumsum(sizes[order])
    count = int(np.argmin(np.abs(np.concatenate([[0], gone]) - wanted)))
    mask = np.ones(scores.shape, bool)
    mask[order[:count]] = False
    return mask


def require_reachable(
    groups: Sequence[Group], sparsity: float | Sequence[float], ranking: str
) -> None:
    """Refuse a sparsity that the units cannot come near to.

    Args:
      groups: of units.
      sparsity: of all, or of each group where the ranking is local.
      ranking: local, global or lamp.

    Raises:
      UserError: names the nearest sparsity that can be had.
    """
    shares = _of_each(sparsity, groups)
    flag = "final_sparsity" if isinstance(sparsity, int | float) else "region_sparsities"
    if ranking != "local" and len({group.unit_size for group in groups}) > 1:
        sparsity = shares[0]
        # Units of several sizes: weights are counted, and the best unit of each group stays.
        total = sum(group.unit_size * group.count for group in groups)
        stay = sum(group.unit_size for group in groups if not group.is_elementwise)
        if sparsity * total > total - stay:
            raise UserError(
                f"--final_sparsity={sparsity:g}: a whole matrix or layer would be gone, since one "
                f"{groups[0].what} of each has to stay. Give at most {1 - stay / total:.4g}."
            )
        return
    counts: dict[tuple[int, float], Group] = {}
    if ranking == "local":
        for group, share in zip(groups, shares, strict=True):
            counts.setdefault((group.count, share), group)
    else:
        counts[sum(group.count for group in groups), shares[0]] = groups[0]
    for (count, share), group in counts.items():
        gone = round(share * count)
        most = count - (0 if group.is_elementwise else (1 if ranking == "local" else len(groups)))
        where = f"in {group.name}" if ranking == "local" else "in the whole scope"
        if gone > most:
            raise UserError(
                f"--{flag}={share:g}: all {group.what}s {where} would be gone "
                f"(it has {count}). Give at most {most / count:.4g}."
            )
        if abs(gone / count - share) > TOLERANCE:
            lower, upper = int(share * count), min(int(share * count) + 1, most)
            near = " or ".join(f"{n / count:.4g}" for n in sorted({lower, upper}))
            raise UserError(
                f"--{flag}={share:g}: cannot be reached with the {count} {group.what}s "
                f"{where}. The nearest: {near}."
            )
