"""ExperimentConfig: everything that decides a run, and the flags that set it.

The design places this class in `experiment.py`. It stands apart because that module
needs TensorFlow, which takes 10 seconds to import, while a wrong flag has to be
answered at once: nothing in this file imports it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import pathlib
import re
import types
from collections.abc import Mapping
from typing import Any

from absl import flags, logging

from bert_glue_tf.compression import registry
from bert_glue_tf.core import strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.models import encoders

# The flags count as those of the command that defines them, so that its --help shows them.
flags.disclaim_key_flags()

# Settings that may name a folder.
PLACES = ("encoder", "preprocessing", "data")
# What a run's name says itself.
NAMED = ("task", "encoder", "data", "pruning_method", "seed")
# The report's schedule starts here.
DEFAULT_INITIAL_SPARSITY = 0.5
STRATEGIES = ("auto", "cpu", "gpu", "mirrored", "multi_worker", "tpu")
PRECISIONS = ("auto", "none", "float16", "bfloat16")


# The settings of the first version, which every later one has as well: by them a file is known for
# settings of this project.
FIRST = frozenset(
    "task encoder preprocessing data epochs batch_size learning_rate warmup_fraction weight_decay "
    "dropout seq_length train_examples seed pruning_method initial_sparsity final_sparsity "
    "begin_step end_step pruning_frequency strategy length_buckets".split()
)
SCHEDULES = ("gradual", "one_shot", "iterative")
SCOPES = ("head", "encoder", "embeddings", "all")
RANKINGS = ("local", "global", "lamp")
# The settings that say how something is pruned, and mean nothing where nothing is.
PRUNING = (
    "initial_sparsity",
    "final_sparsity",
    "begin_step",
    "end_step",
    "pruning_frequency",
    "pruning_schedule",
    "pruning_scope",
    "pruning_weights",
    "ranking",
    "pruning_options",
)


def _option(default: Any, help_text: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": help_text})


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """The settings of one run; each field is the flag of the same name.

    The defaults are the settings of the report on pruning and quantizing BERT on GLUE:
    BERT-base uncased from TF-Hub, length 128, batch 32, 3 epochs, AdamW at 2e-5 with a
    linear warm-up over the first 10 % of the steps and a linear decay to zero.

    Raises:
      UserError: a value is out of its range; the message names the flag.
    """

    task: str = _option("cola", f"GLUE or aspect sentiment task: {', '.join(tasks.TASKS)}.")
    encoder: str = _option(
        encoders.DEFAULT,
        "BERT encoder: a short name "
        f"({', '.join(encoders.ENCODERS)}), a TF-Hub handle, or a folder (a pair of "
        "SavedModels, a Hugging Face model, or a TensorFlow checkpoint).",
    )
    preprocessing: str = _option(
        "", "TF-Hub handle or folder of the preprocessing model; by default the encoder's own."
    )
    data: str = _option(
        "tfds",
        "Where the sentences come from: tfds, sample (embedded, generated: cola, mrpc, sst2), "
        "or a folder that holds the tasks' own folders of .tsv or .txt files.",
    )
    epochs: int = _option(3, "Passes over the training split.")
    batch_size: int = _option(32, "Examples a training step, over all replicas.")
    learning_rate: float = _option(2e-5, "Peak learning rate of AdamW.")
    warmup_fraction: float = _option(
        0.1, "Fraction of the steps over which the learning rate rises from 0."
    )
    weight_decay: float = _option(
        0.01, "Decoupled weight decay; biases and layer norms are left out."
    )
    dropout: float = _option(0.1, "Dropout rate before the dense classifier.")
    encoder_dropout: float = _option(
        -1.0, "Dropout rate inside a native encoder; -1 = the encoder's own (BERT: 0.1)."
    )
    seq_length: int = _option(128, "Longest input in word pieces; longer text is trimmed.")
    train_examples: int = _option(
        0, "Train on this many examples only, a fixed random choice; 0 = all."
    )
    held_out: int = _option(
        0, "Keep so many training examples apart, for a method that chooses by their score."
    )
    seed: int = _option(1, "Seed of the classifier's weights, the order and the dropout.")
    pruning_method: str = _option(
        registry.NO_PRUNING, f"Pruning method: {', '.join(registry.names())}."
    )
    pruning_options: str = _option(
        "",
        "Settings of the method's own, as name=value and spaces between them; "
        "method.name=value where several methods have one.",
    )
    pruning_scope: str = _option(
        "encoder",
        f"Which weights may be pruned: {', '.join(SCOPES)}; encoder = the six matrices of "
        "every layer.",
    )
    pruning_weights: str = _option(
        "", "Regular expression: prune only weights of the scope whose names it is found in."
    )
    ranking: str = _option(
        "local",
        f"What a weight competes with: {', '.join(RANKINGS)}; local = its matrix, global = the "
        "whole scope, lamp = the whole scope by LAMP's score.",
    )
    pruning_schedule: str = _option(
        "gradual",
        f"How the sparsity comes about: {', '.join(SCHEDULES)}; one_shot = at once at "
        "--begin_step, iterative = in five steps.",
    )
    finetune_epochs: int = _option(
        0,
        "Fine-tune for so many epochs first, unpruned, in a run of its own beside this one, and "
        "start from its weights; 0 = start from the pre-trained ones.",
    )
    initial_sparsity: float = _option(
        -1.0,
        "Sparsity at which gradual pruning begins, in [0, 1); -1 = 0, and with "
        f"{registry.DEFAULT_METHOD} {DEFAULT_INITIAL_SPARSITY} or the final sparsity, if lower.",
    )
    final_sparsity: float = _option(0.8, "Sparsity at the end of pruning, in [0, 1).")
    begin_step: int = _option(-1, "First step that prunes; -1 = the end of the warm-up.")
    end_step: int = _option(-1, "Step that reaches the final sparsity; -1 = 80 % of the steps.")
    pruning_frequency: int = _option(
        0,
        "Steps between two updates of the masks; 0 = a hundredth of all steps, or a fifth of "
        "the pruning where it is iterative.",
    )
    strategy: str = _option(
        "auto",
        f"Distribution strategy: {', '.join(STRATEGIES)}; auto = the workers that TF_CONFIG names, "
        "else TPU, else GPU, else CPU.",
    )
    mixed_precision: str = _option(
        "auto",
        f"Numbers to compute with: {', '.join(PRECISIONS)}; none = float32, auto = bfloat16 on a "
        "TPU, else none. Weights, masks and what is saved are float32.",
    )
    length_buckets: bool = _option(
        True,
        "Pad a batch to the smallest of a few lengths that holds it; without, and always on a "
        "TPU, to --seq_length.",
    )
    group_by_length: bool = _option(
        False,
        "Batches of sentences of similar length: still less is padding, and the batches are less "
        "random. Needs --length_buckets, and no TPU.",
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _refuse_huge(field.name, getattr(self, field.name))
        tasks.get(self.task)
        # However it is written, the same methods are the same run.
        object.__setattr__(self, "pruning_method", ",".join(registry.split(self.pruning_method)))
        registry.parse_options(self.pruning_options)
        for name, good in _CHOICES.items():
            if getattr(self, name) not in good:
                raise UserError(
                    f"--{name}={getattr(self, name)}: no such {name.removeprefix('pruning_')}. "
                    f"Good values: {', '.join(good)}."
                )
        try:
            re.compile(self.pruning_weights)
        # Overflow: of a number of repetitions. Recursion: of thousands of parentheses.
        except (re.error, OverflowError, RecursionError) as error:
            raise UserError(
                f"--pruning_weights={self.pruning_weights}: no regular expression ({error})."
            ) from None
        for name, (low, high, text) in _RANGES.items():
            value = getattr(self, name)
            if value == _COMPUTED.get(name):
                continue
            # `not (a <= b)` and not `a > b`, so that NaN is refused as well.
            if not low <= value <= high or not math.isfinite(value):
                raise UserError(f"--{name}={value}: must be {text}.{_percent(name, value)}")
        if self.group_by_length and not self.length_buckets:
            raise UserError(
                "--group_by_length: padded to one length (--nolength_buckets), no batch is "
                "shorter than another. Good: --nolength_buckets --nogroup_by_length, or "
                "--length_buckets."
            )
        if self.initial_sparsity > self.final_sparsity:
            raise UserError(
                f"--initial_sparsity={self.initial_sparsity}: larger than "
                f"--final_sparsity={self.final_sparsity}. Pruning goes from the initial sparsity "
                "up to the final one; give an initial sparsity that is smaller or equal."
            )
        if self.pruning_schedule == "one_shot" and self.end_step >= 0:
            raise UserError(
                f"--end_step={self.end_step}: --pruning_schedule=one_shot prunes once, at "
                "--begin_step. Leave --end_step out, or choose gradual."
            )
        if self.begin_step >= 0 and 0 <= self.end_step <= self.begin_step:
            raise UserError(
                f"--begin_step={self.begin_step}: not before --end_step={self.end_step}. "
                "Give a begin_step smaller than end_step, or leave one out."
            )

    @property
    def given_pruning(self) -> dict[str, Any]:
        """Those settings of the pruning that have not their defaults."""
        return {
            field.name: value
            for field in dataclasses.fields(self)
            if field.name in PRUNING and (value := getattr(self, field.name)) != field.default
        }

    @property
    def first_sparsity(self) -> float:
        """The sparsity at which gradual pruning begins, computed where it is not given."""
        if self.initial_sparsity == _COMPUTED["initial_sparsity"]:
            return self._computed_sparsity
        return self.initial_sparsity

    @property
    def _computed_sparsity(self) -> float:
        """The report's for its method; others have no reason to begin with a leap."""
        if self.pruning_method in (registry.DEFAULT_METHOD, registry.NO_PRUNING):
            return min(DEFAULT_INITIAL_SPARSITY, self.final_sparsity)
        return 0.0

    @property
    def starting_point(self) -> ExperimentConfig | None:
        """The run whose weights this one starts from; None where it starts from pre-training."""
        if not self.finetune_epochs:
            return None
        return dataclasses.replace(self.unpruned, epochs=self.finetune_epochs, finetune_epochs=0)

    @property
    def needs(self) -> list[ExperimentConfig]:
        """The runs that have to be finished before this one, as the one that it starts from."""
        return [self.starting_point] if self.starting_point else []

    @property
    def unpruned(self) -> ExperimentConfig:
        """The same run with nothing pruned: what says how to prune has its defaults."""
        defaults: dict[str, Any] = {
            field.name: field.default for field in dataclasses.fields(self) if field.name in PRUNING
        }
        return dataclasses.replace(self, **defaults, pruning_method=registry.NO_PRUNING)

    @property
    def run_name(self) -> str:
        """Name of the run's default folder: task, encoder, data, method and seed.

        Where other settings differ from their defaults, six digits of their checksum follow. A
        setting that a later version adds leaves the names as they are, where its default is what
        runs were before; that of `group_by_length` is not.
        Of a folder the name says the last part only: a second one of that name is refused by
        what the run's folder holds, as any other configuration.
        """
        parts = (self.task, _short(self.encoder), _short(self.data), self.pruning_method)
        name = "-".join((*parts, f"seed{self.seed}"))
        defaults = ExperimentConfig().to_json()
        other = {
            setting: value
            for setting, value in self.to_json().items()
            if setting not in NAMED and value != defaults[setting]
        }
        if self.first_sparsity == self._computed_sparsity:
            other.pop("initial_sparsity", None)  # Given, it is the value that is computed.
        if not other:
            return name
        canonical = json.dumps(other, sort_keys=True, separators=(",", ":"))
        return f"{name}-{hashlib.sha256(canonical.encode()).hexdigest()[:6]}"

    def to_json(self) -> dict[str, Any]:
        """The settings as a dict of JSON values, in the order of the fields."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ExperimentConfig:
        """The settings written by `to_json`, of this version or of an earlier one.

        What is left out has its default; an earlier version's batches are what they were.

        Raises:
          UserError: a field is unknown, or a value out of its range or of another type.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        if set(values) >= FIRST and "group_by_length" not in values:
            # Of a version that grouped wherever it did not pad to --seq_length.
            values = {**values, "group_by_length": values["length_buckets"]}
        unknown = sorted(set(values) - set(fields))
        if unknown:
            listed = ", ".join(map(repr, unknown))
            what = "setting" if len(unknown) == 1 else "settings"
            raise UserError(f"unknown {what} {listed}; good settings: {', '.join(fields)}.")
        for name, value in values.items():
            wanted = type(fields[name].default)
            number_for_float = wanted is float and type(value) is int
            if type(value) is not wanted and not number_for_float:
                raise UserError(f"setting {name}={value!r}: must be of type {wanted.__name__}.")
        # 1 and 1.0 are one setting, and have to be written alike.
        floats = {name for name in values if type(fields[name].default) is float}
        try:
            numbers = {name: float(values[name]) for name in floats}
        except OverflowError:
            raise UserError("a number in it is too large for any setting.") from None
        return cls(**{**values, **numbers})

    def difference(self, other: ExperimentConfig) -> dict[str, tuple[Any, Any]]:
        """Fields that differ: name -> (value here, value of `other`).

        An initial sparsity that is computed is the same as the value that it stands for:
        earlier records have 0.5 where nothing was given. A folder is the same however it is
        written.
        """
        mine, theirs = self.to_json(), other.to_json()
        if self.first_sparsity == other.first_sparsity:
            del mine["initial_sparsity"]
        for name in PLACES:
            if canonical_place(mine[name]) == canonical_place(theirs[name]):
                del mine[name]
        return {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}

    def checksum_text(self) -> str:
        """One canonical line of JSON, for comparing and hashing configurations."""
        return json.dumps(self.to_json(), sort_keys=True)

    def without_places(self) -> str:
        """As `checksum_text`, of what is the same on every machine: not where folders lie."""
        values = self.to_json()
        return json.dumps({name: values[name] for name in values if name not in PLACES})


_CHOICES: Mapping[str, tuple[str, ...]] = {
    "strategy": STRATEGIES,
    "mixed_precision": PRECISIONS,
    "pruning_scope": SCOPES,
    "ranking": RANKINGS,
    "pruning_schedule": SCHEDULES,
}
# Values that stand for "computed from the other settings".
_COMPUTED: Mapping[str, float] = {
    "initial_sparsity": -1.0,
    "encoder_dropout": -1.0,
    "begin_step": -1,
    "end_step": -1,
    "pruning_frequency": 0,
}
_BELOW_ONE = math.nextafter(1.0, 0.0)
_FRACTION = (0.0, _BELOW_ONE, "in [0, 1)")
_FRACTIONS = ("final_sparsity", "initial_sparsity", "dropout", "warmup_fraction")
_RANGES: Mapping[str, tuple[float, float, str]] = {
    "epochs": (1, 1000, "a whole number from 1 to 1000"),
    "batch_size": (1, 65536, "a whole number from 1 to 65536"),
    "finetune_epochs": (0, 1000, "a whole number from 0 to 1000"),
    "learning_rate": (math.nextafter(0.0, 1.0), 1.0, "above 0 and at most 1"),
    "warmup_fraction": (0.0, 1.0, "in [0, 1]"),
    "weight_decay": (0.0, 1.0, "in [0, 1]"),
    "dropout": _FRACTION,
    "seq_length": (
        encoders.MIN_SEQ_LENGTH,
        encoders.MAX_SEQ_LENGTH,
        f"from {encoders.MIN_SEQ_LENGTH} to {encoders.MAX_SEQ_LENGTH}, "
        "the positions that BERT has learned",
    ),
    "train_examples": (0, 2**31 - 1, "0 (all) or more"),
    "held_out": (0, 2**31 - 1, "0 (none) or a number of examples"),
    "seed": (0, 2**31 - 1, "a whole number from 0 to 2147483647"),
    "initial_sparsity": (0.0, _BELOW_ONE, "-1 (computed) or in [0, 1)"),
    "encoder_dropout": (0.0, _BELOW_ONE, "-1 (the encoder's own) or in [0, 1)"),
    "final_sparsity": _FRACTION,
    "begin_step": (0, 2**31 - 1, "-1 (computed) or a step from 0 on"),
    "end_step": (1, 2**31 - 1, "-1 (computed) or a step from 1 on"),
    "pruning_frequency": (1, 2**31 - 1, "0 (computed) or a number of steps from 1 on"),
}


def _refuse_huge(name: str, value: Any) -> None:
    """Python refuses to write a number of thousands of digits, which 0x... can bring in."""
    if isinstance(value, int) and value.bit_length() > 64:
        raise UserError(f"--{name}: a number of {value.bit_length()} bits is too large.")


def _percent(name: str, value: float) -> str:
    """What may be meant by a sparsity of 80."""
    is_percent = name in _FRACTIONS and 1 < value < 100
    return f" Is {value / 100:g} meant ({value:g} %)?" if is_percent else ""


def canonical_place(value: str) -> str:
    """A folder that is there as its absolute path without links; anything else as it is."""
    if value in ("tfds", "sample", *encoders.ENCODERS) or "://" in value:
        return value
    try:
        path = pathlib.Path(value).expanduser()
        return os.path.realpath(path) if value and path.is_dir() else value
    except (OSError, RuntimeError, ValueError):  # No home folder, or a name that can be none.
        return value


def _short(name: str) -> str:
    """The last part of a path or handle (a bare version number keeps the part before)."""
    parts = [part for part in re.split(r"[/\\]", name) if part]
    if len(parts) > 1 and parts[-1].isdigit():
        parts = [f"{parts[-2]}_v{parts[-1]}"]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", parts[-1] if parts else "none")


_DEFINERS: Mapping[type, Any] = types.MappingProxyType(
    {
        bool: flags.DEFINE_bool,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        str: flags.DEFINE_string,
    }
)


def define_settings(
    defaults: Mapping[str, Any], flag_values: flags.FlagValues = flags.FLAGS
) -> None:
    """Defines the flags of some fields of `ExperimentConfig`, with these defaults."""
    fields = {field.name: field for field in dataclasses.fields(ExperimentConfig)}
    for name, default in defaults.items():
        field = fields[name]
        define = _DEFINERS[type(field.default)]
        define(name, default, field.metadata["help"], flag_values=flag_values)


def define_flags(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines a flag for each field of `ExperimentConfig`, and --prune, --workdir, --config."""
    define_settings(ExperimentConfig().to_json(), flag_values)
    flags.DEFINE_bool(
        "prune",
        False,
        f"Prune with --pruning_method, or with {registry.DEFAULT_METHOD} if that is not given.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "workdir",
        "",
        "The run's folder; by default runs/ and a name made from task, encoder, data, "
        "method and seed, and a checksum of other settings that are not the defaults.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "tpu",
        "local",
        "Of --strategy=tpu: name or grpc:// address of the TPU; local = of this machine.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "config",
        "",
        "Repeat a run: its config.json. Flags that are given besides replace its settings.",
        flag_values=flag_values,
    )


def from_flags(flag_values: flags.FlagValues) -> ExperimentConfig:
    """The configuration of a run that can be run, that the parsed flags ask for.

    Raises:
      UserError: as `read_flags` and `check_method`.
    """
    settings = read_flags(flag_values)
    check_method(settings)
    return settings


def check_method(settings: ExperimentConfig) -> None:
    """Whether the settings fit the pruning method.

    Apart from `read_flags`, since what a method takes may change: a run that an earlier version
    has finished is still shown.

    Raises:
      UserError: as `pruning.check`.
    """
    registry.check(settings.pruning_method, settings.pruning_options, settings.given_pruning)


def read_flags(flag_values: flags.FlagValues) -> ExperimentConfig:
    """The configuration that the parsed flags ask for.

    Folders are written as their absolute paths, so that a run is the same wherever it is
    started.

    Raises:
      UserError: a value is out of its range, --prune and --pruning_method contradict, the
        schedule of a pruning is given where nothing is pruned, or --config names no file of
        settings.
    """
    names = [field.name for field in dataclasses.fields(ExperimentConfig)]
    values = {name: flag_values[name].value for name in names}
    for name, value in values.items():
        _refuse_huge(name, value)
    if flag_values["config"].value:
        kept = _read(flag_values["config"].value)
        values |= {name: kept[name] for name in names if not flag_values[name].present}
    prune, method = flag_values["prune"], flag_values["pruning_method"]
    if prune.present and not method.present:
        if not prune.value:
            values["pruning_method"] = registry.NO_PRUNING
        elif values["pruning_method"] == registry.NO_PRUNING:
            values["pruning_method"] = registry.DEFAULT_METHOD
    elif prune.present and method.present and prune.value == (method.value == registry.NO_PRUNING):
        raise UserError(
            f"--{'' if prune.value else 'no'}prune --pruning_method={method.value}: "
            "these contradict. Give one of them."
        )
    given = [name for name in PRUNING if flag_values[name].present]
    if given and values["pruning_method"] == registry.NO_PRUNING:
        shown = f"--{given[0]}={flag_values[given[0]].value}"
        # --noprune beside a flagfile that prunes is how its unpruned baseline is run.
        if not prune.present and not method.present:
            raise UserError(
                f"{shown}: nothing is pruned without --prune. Add --prune, or leave {shown} out."
            )
        logging.info("%s: not used, since nothing is pruned", ", ".join(f"--{n}" for n in given))
    values |= {name: canonical_place(values[name]) for name in PLACES}
    return ExperimentConfig(**values)


def _read(path: str) -> dict[str, Any]:
    """The settings of a config.json; of what it leaves out see `ExperimentConfig.from_json`."""
    try:
        text = pathlib.Path(path).expanduser().read_text(encoding="utf-8")
        values = strict_json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("no JSON object")
        settings = ExperimentConfig.from_json(values).to_json()
        log_missing(f"--config={path}", values)
        return settings
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: no such home folder.
        raise UserError(
            f"--config={path}: cannot be read as settings "
            f"({getattr(error, 'strerror', None) or error}). Good: the config.json of a run."
        ) from None
    except UserError as error:
        raise UserError(f"--config={path}: {error}") from None


def log_missing(where: str, values: Mapping[str, Any]) -> None:
    """Says which settings some values of `ExperimentConfig.to_json` do not name.

    Args:
      where: they stand, for the message.
      values: of an earlier version, or written by hand.
    """
    read = ExperimentConfig.from_json(values).to_json()
    missing = [f"{name}={read[name]}" for name in read if name not in values]
    if missing:
        logging.info("%s: does not name all settings; read with %s", where, ", ".join(missing))


def workdir(flag_values: flags.FlagValues, config: ExperimentConfig) -> pathlib.Path:
    """The folder that --workdir names, or else `runs/` and the run's name.

    Raises:
      UserError: --workdir begins with the home folder (`~name`) of nobody.
    """
    given = flag_values["workdir"].value
    if not given:
        return pathlib.Path("runs") / config.run_name
    try:
        # A shell expands ~ at the start of a word only, and this one comes after "--workdir=".
        return pathlib.Path(given).expanduser()
    except (RuntimeError, ValueError):  # ValueError: a NUL in a name.
        raise UserError(
            f"--workdir={given}: there is no such home folder. Give the folder's whole path."
        ) from None
