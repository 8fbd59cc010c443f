"""The settings that say what is pruned, how much of it and when."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import regex

from bert_glue_tf.compression import names, registry
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.settings import BELOW_ONE, FRACTION, LARGEST, Limits, Settings, option

# The report's schedule starts here.
DEFAULT_INITIAL_SPARSITY = 0.5
SCHEDULES = ("gradual", "one_shot", "iterative", names.SOFT)
SCOPES = ("classifier", "encoder", "embeddings", "all")
RANKINGS = ("local", "global", "lamp")
# No name of a weight is that long; a larger number takes memory before any name is searched.
MOST_REPETITIONS = 10_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class PruningSettings(Settings):
    """The settings of the pruning: of which weights, how many and when.

    Raises:
      UserError: a value is out of its range, or two values contradict each other; the message
        names the flag.
    """

    pruning_method: str = option(
        names.NO_PRUNING, f"Pruning method: {', '.join(registry.names())}."
    )
    pruning_options: str = option(
        "",
        "Settings of the method's own, as name=value and spaces between them; "
        "method.name=value where several methods have one.",
    )
    pruning_scope: str = option(
        "encoder",
        f"Which weights may be pruned: {', '.join(SCOPES)}; encoder = the six matrices of "
        "every layer.",
        choices=SCOPES,
    )
    pruning_weights: str = option(
        "", "Regular expression: prune only weights of the scope whose names it is found in."
    )
    ranking: str = option(
        "local",
        f"What a weight competes with: {', '.join(RANKINGS)}; local = its matrix, global = the "
        "whole scope, lamp = the whole scope by LAMP's score.",
        choices=RANKINGS,
    )
    pruning_schedule: str = option(
        "gradual",
        f"How the sparsity comes about: {', '.join(SCHEDULES)}; one_shot = at once at "
        "--begin_step, iterative = in five steps, soft = all at the end of each epoch, after which "
        "the weights may grow back.",
        choices=SCHEDULES,
    )
    initial_sparsity: float = option(
        -1.0,
        "Sparsity at which gradual pruning begins, in [0, 1); -1 = 0, and with "
        f"{names.DEFAULT_METHOD} {DEFAULT_INITIAL_SPARSITY} or the final sparsity, if lower.",
        limits=Limits(0.0, BELOW_ONE, "-1 (computed) or in [0, 1)", -1.0, is_fraction=True),
    )
    final_sparsity: float = option(
        0.8, "Sparsity at the end of pruning, in [0, 1).", limits=FRACTION
    )
    region_sparsities: str = option(
        "",
        "Sparsities of parts of the network in place of --final_sparsity, for --ranking=local, as "
        "'words=0.3 feed-forward=0.6 others=0' with spaces between: words, positions, types, "
        "attention, feed-forward, pooler, classifier, 'layer 1' and so on; of a CNN general "
        "vectors, domain vectors, convolutions.",
    )
    begin_step: int = option(
        -1,
        "First step that prunes; -1 = the end of the warm-up.",
        limits=Limits(0, LARGEST, "-1 (computed) or a step from 0 on", -1),
    )
    end_step: int = option(
        -1,
        "Step that reaches the final sparsity; -1 = 80 % of the steps.",
        limits=Limits(1, LARGEST, "-1 (computed) or a step from 1 on", -1),
    )
    pruning_frequency: int = option(
        0,
        "Steps between two updates of the masks; 0 = a hundredth of all steps, or a fifth of "
        "the pruning where it is iterative.",
        limits=Limits(1, LARGEST, "0 (computed) or a number of steps from 1 on", 0),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # However it is written, the same methods are the same run.
        object.__setattr__(self, "pruning_method", ",".join(registry.split(self.pruning_method)))
        registry.parse_options(self.pruning_options)
        options = registry.canonical_options(self.pruning_options)
        object.__setattr__(self, "pruning_options", options)
        _require_expression(self.pruning_weights)
        if self.initial_sparsity > self.final_sparsity:
            raise UserError(
                f"--initial_sparsity={self.initial_sparsity}: larger than "
                f"--final_sparsity={self.final_sparsity}. Pruning goes from the initial sparsity "
                "up to the final one; give an initial sparsity that is smaller or equal."
            )
        self._require_whole_epochs()
        parse_regions(self.region_sparsities)
        if self.region_sparsities and self.ranking != "local":
            raise UserError(
                f"--region_sparsities={self.region_sparsities}: with --ranking={self.ranking} all "
                "weights compete, whatever part they are of. Good: --ranking=local, or leave it "
                "out."
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

    def _require_whole_epochs(self) -> None:
        """Refuse steps for a schedule that prunes at the end of each epoch.

        Raises:
          UserError: names the flag.
        """
        if self.pruning_schedule != names.SOFT:
            return
        for name in ("begin_step", "end_step", "pruning_frequency", "initial_sparsity"):
            value = getattr(self, name)
            computed = self.computed_sparsity if name == "initial_sparsity" else None
            # Records of a comparison hold the sparsity that is computed.
            if value not in (PRUNING_DEFAULTS[name], computed):
                raise UserError(
                    f"--{name}={value}: --pruning_schedule={names.SOFT} prunes to the final "
                    f"sparsity at the end of each epoch. Leave --{name} out, or choose gradual."
                )

    @property
    def regions(self) -> dict[str, float]:
        """Part of the network -> the sparsity that it has of its own."""
        return parse_regions(self.region_sparsities)

    @property
    def given_pruning(self) -> dict[str, Any]:
        """The settings that say how to prune and have not their defaults."""
        return {
            name: value
            for name, default in PRUNING_DEFAULTS.items()
            if (value := getattr(self, name)) != default
        }

    @property
    def first_sparsity(self) -> float:
        """Sparsity at which gradual pruning begins, computed where it is not given."""
        return self.computed_sparsity if self.initial_sparsity < 0 else self.initial_sparsity

    @property
    def computed_sparsity(self) -> float:
        """Sparsity at which gradual pruning begins where none is given.

        It is the report's for the report's method; others have no reason to begin with a leap,
        but for the schedule that has no other sparsity than the final one.
        """
        if self.pruning_schedule == names.SOFT:
            return self.final_sparsity
        if self.pruning_method in (names.DEFAULT_METHOD, names.NO_PRUNING):
            return min(DEFAULT_INITIAL_SPARSITY, self.final_sparsity)
        return 0.0


# The settings that say how something is pruned, and mean nothing where nothing is.
PRUNING_DEFAULTS: dict[str, Any] = {
    field.name: field.default
    for field in dataclasses.fields(PruningSettings)
    if field.name != "pruning_method"
}


def parse_regions(text: str) -> dict[str, float]:
    """Return `words=0.3 layer 2=0.6` as a dict, in its order.

    A name may hold spaces; a number ends each part.

    Raises:
      UserError: a part is not NAME=NUMBER, a number is not in [0, 1), or a name is given twice.
    """
    found: dict[str, float] = {}
    rest = text.strip()
    while rest:
        part = re.match(r"([^=]*[^=\s])=(\S+)(\s+|$)", rest)
        value = _share(part.group(2)) if part else None
        if part is None or value is None or part.group(1) in found:
            raise UserError(
                f"--region_sparsities={text}: {rest!r} does not begin with a part and its sparsity "
                "in [0, 1), each part once. Good: --region_sparsities='words=0.3 others=0.6'."
            )
        found[part.group(1)] = value
        rest = rest[part.end() :]
    return found


def _share(text: str) -> float | None:
    """Return a number in [0, 1); None where the text is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 <= value < 1.0 else None


def _require_expression(pattern: str) -> None:
    """Refuse what is no regular expression, and one that repeats something without measure.

    Raises:
      UserError: names the flag and the mistake.
    """
    repetitions = re.findall(r"\{(\d*),?(\d*)\}", pattern)
    try:
        re.compile(pattern)
        counts = [int(count) for pair in repetitions for count in pair if count.strip("0")]
        if math.prod(counts) > MOST_REPETITIONS:
            raise UserError(
                f"--pruning_weights={pattern}: repeats a part more often than any name is long. "
                f"Give numbers in {{...}} whose product is at most {MOST_REPETITIONS}."
            )
        regex.compile(pattern)  # Which the names are searched with.
    # Overflow: of a number of repetitions. Recursion: of thousands of parentheses.
    except (ValueError, re.error, regex.error, OverflowError, RecursionError) as error:
        raise UserError(f"--pruning_weights={pattern}: no regular expression ({error}).") from None
