"""The rows of a survey: the methods and hybrids that an encoder and a task can have, as runs."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import readers
from bert_glue_tf.models import encoders, families
from bert_glue_tf.models.encoders import EncoderSource
from bert_glue_tf.studies import hybrids
from bert_glue_tf.studies.cells import Cell, cell
from bert_glue_tf.studies.hybrids import Offer

UNPRUNED = "unpruned"
_WITHOUT_START = "without --finetune_epochs there is no model to start from and to learn from"
_SEVERAL = "trains several networks of different sparsity at once"


def cells(
    methods: Sequence[str], given: Mapping[str, str], options: str, seeds: Sequence[int]
) -> list[Cell]:
    """Return the unpruned model, and a model for each row.

    Args:
      methods: names of methods and hybrids; none means all that the encoder can carry.
      given: settings of the trainings.
      options: settings of the methods' own, as `method.name=value` with spaces between them.
      seeds: of each.

    Raises:
      UserError: an unknown method or option, or a setting is none of a run.
    """
    offer = _offer(given)
    chosen = _chosen(methods, given, offer)
    if not chosen:
        raise UserError(f"--methods={','.join(methods)}: give methods to compare with no pruning.")
    own: dict[str, list[str]] = {name: [] for name in chosen}
    for name, value in registry.parse_options(registry.canonical_options(options)).items():
        method = name.partition(".")[0]
        takers = [one for one in chosen if method in hybrids.methods(one)] if "." in name else []
        if not takers:
            raise UserError(
                f"--pruning_options={options}: {name} is not METHOD.OPTION of a method that is "
                "run. Good: --pruning_options='block.block=8x8 lottery_ticket.rounds=2'."
            )
        for one in takers:
            own[one].append(f"{name}={value}")
    pruned = [_cell(name, given, " ".join(found), seeds, offer) for name, found in own.items()]
    return [cell(UNPRUNED, given, NO_PRUNING, seeds), *pruned]


def left_out(given: Mapping[str, str]) -> dict[str, list[str]]:
    """Return what is no row of a survey of everything: reason -> names of methods and hybrids.

    Args:
      given: settings of the trainings.
    """
    found: dict[str, list[str]] = {}
    for name, reason in _all(given, _offer(given)):
        if reason:
            found.setdefault(reason, []).append(name)
    return found


def _all(given: Mapping[str, str], offer: Offer) -> Iterator[tuple[str, str]]:
    """Yield each method and each combination that the survey names, and why it is left out."""
    for name in registry.names_by(lambda _: True):
        yield name, offer.lacks([name]) or (_SEVERAL if registry.get(name).has_sizes else "")
    finetuned = int(given.get("finetune_epochs", "0"))
    for name, reason in hybrids.named(offer):
        yield hybrids.canonical(name), reason or ("" if finetuned else _WITHOUT_START)


def _chosen(methods: Sequence[str], given: Mapping[str, str], offer: Offer) -> list[str]:
    """Return the names of the rows: the methods and hybrids that are asked for, each once."""
    if methods:
        asked = [
            hybrids.canonical(name) if hybrids.is_one(name) else registry.canonical(name)
            for name in methods
        ]
        hybrids.require_start(asked, int(given.get("finetune_epochs", "0")))
    else:
        asked = [name for name, reason in _all(given, offer) if not reason]
    return list(dict.fromkeys(name for name in asked if name != NO_PRUNING))


def _offer(given: Mapping[str, str]) -> Offer:
    """Return what the encoder and the task of the settings offer; each is looked up when asked."""

    @functools.cache
    def source() -> EncoderSource:
        return encoders.resolve(given.get("encoder", encoders.DEFAULT))

    def why_not(capability: str) -> str:
        return families.why_never(source().kind, pathlib.Path(source().encoder), capability)

    def tags_words() -> bool:
        (config,) = cell(UNPRUNED, given, NO_PRUNING, (1,)).configs
        return readers.task_of(config).problem.tags_words

    return Offer(why_not, tags_words)


def _cell(
    name: str, given: Mapping[str, str], options: str, seeds: Sequence[int], offer: Offer
) -> Cell:
    """Return a row's model; `options` are those of its methods' own."""
    own = {"pruning_options": options} if options else {}
    method = ",".join(hybrids.methods(name))
    return cell(name, {**given, **hybrids.settings(name, offer), **own}, method, seeds)
