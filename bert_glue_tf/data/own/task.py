"""A task of the user's own: inferred from its files, and its examples read from them."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import logging

from bert_glue_tf.core import lazy
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import examples, tasks
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.own import columns, files, labels, table, words
from bert_glue_tf.data.own.columns import Choice
from bert_glue_tf.data.own.files import NAME, TEST, TRAIN, VALIDATION
from bert_glue_tf.data.own.labels import Column
from bert_glue_tf.data.own.table import Table
from bert_glue_tf.data.tasks import SplitOff, TaskSpec

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy.module("numpy")  # Commands import this module with their flags.


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The wishes of the user about the files.

    Attributes:
      text_columns: empty for a guess.
      label_column: empty for a guess.
      problem: kind of problem; empty where it is to be inferred.
      split_off: used where there is no validation file.
    """

    text_columns: tuple[str, ...]
    label_column: str
    problem: str
    split_off: SplitOff


def infer(name: str, data: str, wanted: Wanted) -> TaskSpec:
    """Return the task that the files pose, and say in one line how they were read.

    Args:
      name: of the task.
      data: value of --data.
      wanted: what the user says of the files.

    Raises:
      UserError: the files cannot be read, or columns or labels are ambiguous.
    """
    found = files.find(data)
    return _infer(name, data, wanted, tuple(found.items()), table.states(found))


@functools.lru_cache(maxsize=8)  # Asked for by each step of a command, and said once.
def _infer(
    name: str,
    data: str,
    wanted: Wanted,
    splits: tuple[tuple[str, tuple[str, ...]], ...],
    states: object,
) -> TaskSpec:
    del states
    found = dict(splits)
    train = table.read(found[TRAIN])
    path = train.paths[0]
    chosen = columns.choose(path, train.columns, wanted.text_columns, wanted.label_column)
    column = Column.of(train, chosen.label)
    if table.suffix_of(path) in table.WITH_HEADER:
        _warn_of_an_example(path, chosen.label, train.columns[chosen.label])
    kind = wanted.problem or _kind(train, chosen)
    problem = labels.infer(column, kind)
    _texts(train, chosen.texts, problem.tags_words)
    is_split_off = VALIDATION not in found
    task = tasks.own(
        name,
        text_columns=chosen.texts,
        label_column=chosen.label,
        problem=problem,
        split_off=wanted.split_off if is_split_off else SplitOff(0.0, 0),
        has_test=_is_labelled(found.get(TEST, ()), chosen),
    )
    _say(task, found, len(train), chosen)
    _say_known(task, data)
    return task


def _kind(train: Table, chosen: Choice) -> str:
    """Return the kind of problem that the texts pose: lists of words are tagged; else empty."""
    lists = [name for name in chosen.texts if words.are_lists(train.columns[name])]
    return "tagging" if lists else ""


def _is_labelled(paths: Sequence[str], chosen: Choice) -> bool:
    if not paths:
        return False
    test = table.read(paths)
    return chosen.label in test.columns and not Column.of(test, chosen.label).has_none


def _say(task: TaskSpec, found: Mapping[str, Any], count: int, chosen: Choice) -> None:
    """Log in one line what is read and how, so that a wrong guess is seen."""
    validation = (
        f"{task.own.fraction:.0%} of them kept for validation"
        if task.own and task.own.fraction
        else f"validation from {os.path.basename(found[VALIDATION][0])}"
    )
    logging.info(
        "%s: %d training texts from %s, %s %s, labels from %s%s: %s; %s",
        task.name,
        count,
        os.path.basename(found[TRAIN][0]),
        "text from" if len(chosen.texts) == 1 else "texts from",
        " and ".join(chosen.texts),
        chosen.label,
        _guess(chosen),
        task.problem.title,
        validation,
    )


def _warn_of_an_example(path: str, label: str, values: Sequence[Any]) -> None:
    """Warn where a header may be an example: the label column's name is one of its labels."""
    if label in values:
        logging.warning(
            "%s: the label's column is called %r, which is one of its labels too: where the first "
            "line is an example, it is not read. Write a header above it, as text,label",
            path,
            label,
        )


def _guess(chosen: Choice) -> str:
    """Return how columns were found that the user has not given."""
    if chosen.is_only_other:
        return " (guessed: the only other column)"
    return " (guessed by names and contents)" if chosen.is_guessed else ""


def _say_known(task: TaskSpec, data: str) -> None:
    """Log that texts which look like those of a known task are taken as the user's own.

    The name of a folder is no command: whoever has called a folder of his own `cola` must not get
    another task's labels. Whoever means the task has to know that he does not get its metric.
    """
    known = files.known_task(data) if os.path.isdir(os.path.expanduser(data)) else None
    if known is None or task.tsv_text not in (known.text_fields, known.tsv_text):
        return
    logging.info(
        "%s: named as %s and with its columns, and taken as texts of your own, scored by %s: "
        "--task=%s means the task itself, scored by %s",
        data,
        known.name,
        task.primary_metric,
        known.name,
        known.primary_metric,
    )


def load(task: TaskSpec, data: str, split: str) -> Examples:
    """Read one split of a task of the user's own.

    Args:
      task: as `infer` gave it, or a record.
      data: value of --data.
      split: train, validation or test.

    Raises:
      UserError: the files cannot be read, or a text or label is wrong.
    """
    assert task.own is not None
    found = files.find(data)
    is_split_off = bool(task.own.fraction) and split in (TRAIN, VALIDATION)
    source = TRAIN if is_split_off else split
    if source not in found:
        raise UserError(
            f"--data={data}: no {source} file in it; found: {', '.join(found)}. "
            f"Good: {source}.csv, for example."
        )
    read = _examples(task, table.read(found[source]), split, data)
    if split == TRAIN and not is_split_off:
        _warn_of_single(task, read, table.read(found[TRAIN]))
    if is_split_off:
        kept, others = _divide(task, read, table.read(found[TRAIN]))
        return _with_digest(task, read, others if split == TRAIN else kept)
    return read


def _examples(task: TaskSpec, rows: Table, split: str, data: str) -> Examples:
    count = len(rows)
    if split == TEST:
        rows = _labelled(task, rows)
    fields = _texts(rows, task.tsv_text, task.problem.tags_words)
    is_test = split == TEST
    found: list[Any] | None = None
    if not is_test or task.tsv_label in rows.columns:
        if task.tsv_label not in rows.columns:
            raise UserError(
                f"{rows.paths[0]}: no column {task.tsv_label!r} for the label, as the training "
                f"texts have it. Its columns: {', '.join(rows.columns)}."
            )
        column = Column.of(rows, task.tsv_label)
        if not (is_test and column.has_none):
            found = labels.read(column, task.problem)
    if found is not None and task.problem.tags_words:
        words.require_as_many(rows, fields[0], found)
    return examples.make(
        task.problem,
        fields,
        found,
        name=NAME,
        split=split,
        version=None,
        sha256=rows.sha256,
        path=data if len(rows.paths) > 1 else rows.paths[0],
        text_columns=list(task.tsv_text),
        label_column=task.tsv_label,
        dropped_rows=count - len(rows),
    )


def _labelled(task: TaskSpec, rows: Table) -> Table:
    """Return the rows of a test file that can be scored; all of them where none has a label."""
    if task.tsv_label not in rows.columns:
        return rows
    column = Column.of(rows, task.tsv_label)
    chosen = labels.labelled_rows(column, task.problem)
    if not chosen or len(chosen) == len(rows):
        return rows
    _warn_once(
        f"{rows.paths[0]}: {len(rows) - len(chosen):,} of its {len(rows):,} rows have no label in "
        f"the column {task.tsv_label!r} and are left out of the test."
    )
    return rows.choose(chosen)


def _texts(rows: Table, names: Sequence[str], are_words: bool = False) -> list[list[str]]:
    """Return the texts of the rows, one list for each column.

    Args:
      rows: of a split.
      names: of the columns.
      are_words: whether each is a list of words, which get blanks between.

    Raises:
      UserError: a column is missing, or a row holds no text; or there are two columns of words.
    """
    if are_words and len(names) > 1:
        raise UserError(
            f"--text_columns={','.join(names)}: words are tagged in one text. Good: one of them."
        )
    fields = []
    for name in names:
        if name not in rows.columns:
            raise UserError(
                f"{rows.paths[0]}: no column {name!r} for the text, as the training texts have "
                f"it. Its columns: {', '.join(rows.columns)}."
            )
        if are_words:
            return [words.sentences(rows, name)]
        for row, value in enumerate(rows.columns[name]):
            if not isinstance(value, str):
                what = "nothing" if value is None else f"{str(value)[:40]!r}, which is no text,"
                raise UserError(
                    f"{rows.places[row]}: {what} in the column {name!r}. Good: a text in every "
                    "row; leave the row out, or choose other --text_columns."
                )
        fields.append(list(rows.columns[name]))
    for row, texts in enumerate(zip(*fields, strict=True)):
        if not any(text.strip() for text in texts):
            raise UserError(
                f"{rows.places[row]}: an empty text in the column {names[0]!r}. Good: a text in "
                "every row; or leave the row out."
            )
    return fields


def _warn_of_single(task: TaskSpec, read: Examples, rows: Table) -> None:
    """Warn of the classes that have one training example, beside a validation file."""
    assert read.labels is not None
    groups = task.problem.strata(read.labels)
    single = [(name, members[0]) for name, members in groups if len(members) == 1]
    if single and len(groups) > 1:
        name, row = single[0]
        others = f" (and {len(single) - 1:,} other label(s) have one)" if single[1:] else ""
        _warn_once(
            f"{rows.places[row]}: the only example of the label {name!r}{others}: a class is "
            "hardly learned from one. Good: more examples of it, or the row left out."
        )


@functools.lru_cache(maxsize=64)  # A command checks the examples, and then reads them.
def _warn_once(message: str) -> None:
    logging.warning("%s", message)


def _divide(task: TaskSpec, read: Examples, rows: Table) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of the examples that are kept for validation, and those of the others.

    Each class gives the same fraction, one example at least. The choice depends on the seed of the
    split and on the labels alone.

    Raises:
      UserError: a class has one example, or nothing would be left on one side.
    """
    assert task.own is not None
    assert read.labels is not None
    rng = np.random.RandomState(task.own.seed)  # Its stream is frozen for good (NEP 19).
    kept: list[np.ndarray] = []
    for name, members in task.problem.strata(read.labels):
        if len(members) == 1:
            raise UserError(
                f"{rows.places[members[0]]}: the only example of the label {name!r}, "
                "so that it cannot be trained on and validated. Good: more examples of it, the row "
                "left out, or a validation file."
            )
        count = min(len(members) - 1, max(1, round(task.own.fraction * len(members))))
        kept.append(rng.permutation(members)[:count])
    chosen = np.sort(np.concatenate(kept))
    others = np.setdiff1d(np.arange(len(read)), chosen)
    if not len(chosen) or not len(others):
        raise UserError(
            f"{rows.paths[0]}: {len(read)} texts, too few to keep some of them for validation. "
            "Good: more of them, or a validation file."
        )
    return chosen, others


def _with_digest(task: TaskSpec, read: Examples, places: np.ndarray) -> Examples:
    """Return some of the examples; their checksum tells which ones they are."""
    assert task.own is not None
    assert read.labels is not None
    facts: dict[str, Any] = {
        name: read.provenance[name] for name in read.provenance if name != "sha256"
    }
    facts |= {
        "file_sha256": read.provenance["sha256"],
        "validation_fraction": task.own.fraction,
        "validation_seed": task.own.seed,
    }
    for derived in ("examples", "split_examples"):
        del facts[derived]
    return examples.make(
        task.problem,
        [[field[place] for place in places] for field in read.texts],
        read.labels[places],
        **facts,
    )


def warn_of_overlap(read: Mapping[str, Examples]) -> None:
    """Count the texts that stand in the training split and in another one, and warn of them."""
    train = set(zip(*read[TRAIN].texts, strict=True))
    for split, other in read.items():
        if split == TRAIN:
            continue
        count = sum(texts in train for texts in zip(*other.texts, strict=True))
        if count:
            logging.warning(
                "%d of %d %s texts stand in the training split too: their scores tell less of new "
                "texts. Good: each text in one split only.",
                count,
                len(other),
                split,
            )
