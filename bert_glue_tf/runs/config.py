"""ExperimentConfig: everything that decides a run.

Nothing here imports TensorFlow, which takes 10 seconds, since a wrong flag has to be answered at
once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any, Self

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.settings import PRUNING_DEFAULTS, PruningSettings
from bert_glue_tf.core import records, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.settings import option, whole
from bert_glue_tf.data.settings import BatchSettings, DataSettings
from bert_glue_tf.models.quantization.recipes import NOT_QUANTIZED, RECIPES, TRAINED, get
from bert_glue_tf.models.settings import EncoderSettings, QuantizationSettings
from bert_glue_tf.runs.settings import (
    NEEDED,
    START,
    DeviceSettings,
    DistillationSettings,
    OptimizerSettings,
)

FORMAT = 1  # Of config.json; raised when a setting changes its meaning.
# What a run's name says itself.
NAMED = ("task", "encoder", "data", "pruning_method", "seed")


# The parts stand in reverse, since a dataclass takes the fields of its last base first.
@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentConfig(
    DeviceSettings,
    PruningSettings,
    QuantizationSettings,
    DistillationSettings,
    OptimizerSettings,
    BatchSettings,
    EncoderSettings,
    DataSettings,
):
    """The settings of one run; each field is the flag of the same name.

    It is composed of the settings that the packages own, as their heir and not as an object that
    holds them: so settings are flat where they are written (`ExperimentConfig(epochs=4)`), read
    (`config.epochs`) and stored, the type checker knows them all, and a new one is one field in
    one class. A function that needs a part says so in its signature (`OptimizerSettings`), and is
    given the whole.

    The defaults are the settings of the report on pruning and quantizing BERT on GLUE:
    BERT-base uncased from TF-Hub, length 128, batch 32, 3 epochs, AdamW at 2e-5 with a
    linear warm-up over the first 10 % of the steps and a linear decay to zero.

    Raises:
      UserError: a value is out of its range; the message names the flag.
    """

    seed: int = option(
        1, "Seed of the classifier's weights, the order and the dropout.", limits=whole(0)
    )
    finetune_epochs: int = option(
        0,
        "Fine-tune for so many epochs first, unpruned, in a run of its own beside this one, and "
        "start from its weights; 0 = start from the pre-trained ones.",
        limits=whole(0, 1000),
    )

    start: str = option(
        "",
        "Folder of a finished run: start from its weights instead of the pre-trained ones. Task, "
        "data, encoder and length are that run's own unless they are given.",
        names=(),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start and self.finetune_epochs:
            raise UserError(
                f"--start={self.start} --finetune_epochs={self.finetune_epochs}: these contradict, "
                "for both say what to start from. Leave one of them out."
            )
        if self.teacher == START and not self.is_fine_tuned:
            raise UserError(
                f"--teacher={START}: this run starts from pre-trained weights, which answer "
                "nothing. Add --finetune_epochs=3 or --start=RUN, or name the folder of a finished "
                "run."
            )

    @property
    def is_fine_tuned(self) -> bool:
        """Return whether the run starts from fine-tuned weights."""
        return bool(self.start or self.finetune_epochs)

    @property
    def needs(self) -> list[ExperimentConfig]:
        """Return the runs that have to be finished before this one, as the one it starts from."""
        return [self.starting_point] if self.starting_point else []

    @property
    def starting_point(self) -> ExperimentConfig | None:
        """Return the run whose weights this one starts from; None: from the pre-trained ones."""
        if not self.finetune_epochs:
            return None
        # Without a teacher, so that runs with and without one start from the same weights; and in
        # float, for the same reason.
        plain = dataclasses.replace(self.unpruned.untaught, **QuantizationSettings.defaults())
        return dataclasses.replace(plain, epochs=self.finetune_epochs, finetune_epochs=0)

    @property
    def unpruned(self) -> ExperimentConfig:
        """Return the same run with nothing pruned and the pruning's settings at their defaults."""
        return dataclasses.replace(self, **PruningSettings.defaults())

    @property
    def untaught(self) -> ExperimentConfig:
        """Return the same run without a teacher."""
        return dataclasses.replace(self, **DistillationSettings.defaults())

    @property
    def run_name(self) -> str:
        """Return the name of the run's default folder: task, encoder, data, method and seed.

        Where other settings differ from their defaults, six digits of their checksum follow, so
        that a setting that is added with a default leaves the names as they are. Of a folder the
        name says the last part only: a second one of that name is refused by what the run's
        folder holds, as any other configuration.
        """
        parts = (self.task, short(self.encoder), short(self.data), self.pruning_method)
        name = "-".join((*parts, f"seed{self.seed}"))
        other = {setting: value for setting, value in self.given().items() if setting not in NAMED}
        if self.first_sparsity == self.computed_sparsity:
            other.pop("initial_sparsity", None)  # Given, it is the value that is computed.
        if not other:
            return name
        canonical = json.dumps(other, sort_keys=True, separators=(",", ":"))
        return f"{name}-{hashlib.sha256(canonical.encode()).hexdigest()[:6]}"

    def to_text(self) -> str:
        """Return the text of config.json: the settings and their format."""
        return json.dumps({records.FORMAT: FORMAT, **self.to_json()}, indent=2) + "\n"

    @classmethod
    def from_json(cls, values: Mapping[str, Any], *, is_exact: bool = False) -> Self:
        """Return the settings of a record or of a config.json; see `Settings.from_json`."""
        known = {name: value for name, value in values.items() if name != records.FORMAT}
        return super().from_json(known, is_exact=is_exact)

    def difference(self, other: ExperimentConfig) -> dict[str, tuple[Any, Any]]:
        """Return the settings that differ: name -> (value here, value of `other`).

        An initial sparsity that is computed is the same as the value that it stands for. A
        folder is the same however it is written.
        """
        mine, theirs = self.to_json(), other.to_json()
        if self.first_sparsity == other.first_sparsity:
            del mine["initial_sparsity"]
        for name in self.places():
            if canonical_place(mine[name]) == canonical_place(theirs[name]):
                del mine[name]
        return {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}

    def without_places(self) -> str:
        """Return the settings that are the same on every machine: not where folders lie."""
        values = self.to_json()
        return json.dumps({name: values[name] for name in values if name not in self.places()})


# The settings that say how something is pruned, and mean nothing where nothing is.
PRUNING = tuple(PRUNING_DEFAULTS)
# The values of settings that may name a folder which are names and never one.
_NAMES = frozenset(
    name for field in dataclasses.fields(ExperimentConfig) for name in field.metadata["names"] or ()
)


def read_file(path: pathlib.Path, *, is_exact: bool = False) -> ExperimentConfig:
    """Return the settings in a config.json; for `is_exact` see `Settings.from_json`.

    Raises:
      OSError: the file cannot be read.
      ValueError: it holds no JSON object, or its format is none.
      UserError: as `Settings.from_json`.
    """
    values = strict_json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ValueError("no JSON object")
    records.note_format("settings", values.get(records.FORMAT, FORMAT), FORMAT)
    settings = ExperimentConfig.from_json(values, is_exact=is_exact)
    if "task" not in values:  # An empty object would else be BERT-base on CoLA.
        raise ValueError("no settings of a run: it names no task")
    return settings


def canonical_place(value: str) -> str:
    """Return the absolute path, without links, of what is there; anything else as it is."""
    if value in _NAMES or "://" in value:
        return value
    try:
        path = pathlib.Path(value).expanduser()
        return os.path.realpath(path) if value and path.exists() else value
    except (OSError, RuntimeError, ValueError):  # No home folder, or a name that can be none.
        return value


def short(name: str) -> str:
    """Return the last part of a path or handle (a bare version number keeps the part before)."""
    parts = [part for part in re.split(r"[/\\]", name) if part]
    if len(parts) > 1 and parts[-1].isdigit():
        parts = [f"{parts[-2]}_v{parts[-1]}"]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", parts[-1] if parts else "none")


def check_method(settings: ExperimentConfig) -> None:
    """Compare the settings with what their pruning methods take, and with what can be trained.

    Apart from the checks of the values, since what a method takes may change, and a method may not
    be installed here: a run that is finished is shown even so.

    Raises:
      UserError: as `registry.check`; or nothing is to be trained, or a setting means nothing.
    """
    if not settings.epochs:
        raise UserError(
            "--epochs=0: nothing would be trained. Give 1 or more; a classifier that is fine-tuned "
            "already is taken over by python -m bert_glue_tf.import_classifier."
        )
    registry.check(settings.pruning_method, settings.pruning_options, settings.given_pruning)
    _require_whole_blocks(settings)
    unused = [name for name in settings.given() if name in settings.unused_teaching]
    if unused:
        needed = next(n for n in NEEDED if unused[0] in NEEDED[n] and not getattr(settings, n))
        raise means_nothing(unused[0], getattr(settings, unused[0]), needed)


def _require_whole_blocks(settings: ExperimentConfig) -> None:
    """Refuse to cut inputs out of matrices after a training on blocks of them.

    Raises:
      UserError: names the method and the recipe.
    """
    recipe = settings.quantize_aware
    if recipe == NOT_QUANTIZED or not any(rule.block for rule in get(recipe).imitated):
        return
    for name in registry.split(settings.pruning_method):
        if registry.get(name).shrinks:
            good = (one for one in TRAINED if not any(r.block for r in RECIPES[one].imitated))
            raise UserError(
                f"--quantize_aware={recipe} --pruning_method={name}: {name} cuts inputs out of the "
                f"matrices after the training, so that the blocks whose step {recipe} has trained "
                f"are no blocks any more. Good: --quantize_aware={' or '.join(good)}; or cut in a "
                f"run of its own."
            )


def means_nothing(name: str, value: Any, needed: str) -> UserError:
    """Return the error for a setting of `NEEDED` where the one that it needs is not given."""
    reason, remedy = _MISSING[needed]
    return UserError(f"--{name}={value}: {reason}. Add {remedy}, or leave --{name} out.")


# A setting of `NEEDED` -> what is missing without it, and what would be good.
_MISSING = {
    "teacher": (
        "there is no teacher to learn from",
        "--teacher=RUN, the folder of a finished run",
    ),
    "distill_layers": (
        "no states of the teacher's layers are learned",
        "--distill_layers=uniform",
    ),
    "distill_attention": (
        "nothing of the teacher's attention is learned",
        "--distill_attention=last",
    ),
}
