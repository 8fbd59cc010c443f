"""The settings of the training itself.

Training stands above this room, and the settings of a run are put together here: a room imports
only the rooms below it, so that these classes cannot stand beside the code they steer.
"""

from __future__ import annotations

import dataclasses
import math
import re

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.settings import FRACTION, Limits, Settings, option, whole
from bert_glue_tf.models.settings import PRODUCTS

STRATEGIES = ("auto", "cpu", "gpu", "mirrored", "multi_worker", "tpu")
BEST = "best"
KEPT = ("last", BEST)
CLASS_WEIGHTS = ("none", "balanced")
LINEAR, CONSTANT, PLATEAU = DECAYS = ("linear", "none", "plateau")
PLATEAU_FACTOR = 0.1  # PyTorch's and Keras's own of ReduceLROnPlateau.
VALIDATION, TRAINING = WATCHED = ("validation", "training")  # Of --early_stopping_loss.
PRECISIONS = ("auto", "none", "float16", "bfloat16", PRODUCTS)
_UP_TO_ONE = Limits(0.0, 1.0, "in [0, 1]")
FIRST, ALL = TOKENS = ("first", "all")  # Of --distill_tokens.
UNIFORM = "uniform"  # Of --distill_layers.
LAST = "last"  # Of --distill_attention.
START = "start"  # Of --teacher: the run that this one starts from.
_ABOVE_ZERO = Limits(math.nextafter(0.0, 1.0), 1.0, "above 0 and at most 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerSettings(Settings):
    """The training's length, AdamW's learning rate and weight decay, and what is learned."""

    # 0 is what `import_classifier` writes, where nothing is trained.
    epochs: int = option(3, "Passes over the training split.", limits=whole(0, 1000))
    learning_rate: float = option(2e-5, "Peak learning rate of AdamW.", limits=_ABOVE_ZERO)
    warmup_fraction: float = option(
        0.1,
        "Fraction of the steps over which the learning rate rises from 0.",
        limits=dataclasses.replace(_UP_TO_ONE, is_fraction=True),
    )
    weight_decay: float = option(
        0.01, "Decoupled weight decay; biases and layer norms are left out.", limits=_UP_TO_ONE
    )

    decay: str = option(
        LINEAR,
        f"How the learning rate falls after the warm-up: {', '.join(DECAYS)}; linear = to 0 at the "
        f"last step; plateau = to {PLATEAU_FACTOR:g} of itself whenever the loss on the validation "
        "split(s) has not fallen for --plateau_epochs.",
        choices=DECAYS,
    )
    plateau_epochs: int = option(
        10, "Epochs of a plateau, for --decay=plateau.", limits=whole(1, 1000)
    )
    early_stopping: int = option(
        0,
        "Stop where the loss of --early_stopping_loss has not fallen for so many epochs; with "
        "pruning only epochs with the final sparsity count; 0 = train all epochs.",
        limits=whole(0, 1000),
    )
    early_stopping_loss: str = option(
        VALIDATION,
        f"The loss that --early_stopping watches: {', '.join(WATCHED)}; validation = on the "
        "validation split(s); training = the mean over the steps of an epoch.",
        choices=WATCHED,
    )
    early_stopping_threshold: float = option(
        0.0,
        "Fraction by which a loss has to be below the one that it has last fallen to, to count as "
        "fallen, for --early_stopping; 0.01 = by more than 1 %.",
        limits=FRACTION,
    )

    class_weights: str = option(
        "none",
        f"Weights of the classes in the loss: {', '.join(CLASS_WEIGHTS)}; balanced = all classes "
        "count alike, however rare they are.",
        choices=CLASS_WEIGHTS,
    )
    keep: str = option(
        "last",
        f"Which epoch's weights are the run's: {', '.join(KEPT)}; best = by the primary metric on "
        "the validation split(s), with pruning only among those with the final sparsity.",
        choices=KEPT,
    )
    keep_after: int = option(
        0,
        "With --keep=best, a step: only epochs that end after it count.",
        limits=whole(0),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keep_after and self.keep != BEST:
            raise UserError(
                f"--keep_after={self.keep_after}: the last epoch's weights are kept, whatever the "
                "scores. Good: --keep=best with it, or the flag left out."
            )
        default = OptimizerSettings.defaults()["plateau_epochs"]
        if self.decay != PLATEAU and self.plateau_epochs != default:
            raise UserError(
                f"--plateau_epochs={self.plateau_epochs}: means nothing with --decay={self.decay}. "
                f"Add --decay={PLATEAU}, or leave it out."
            )
        for name in ("early_stopping_loss", "early_stopping_threshold"):
            value = getattr(self, name)
            if not self.early_stopping and value != OptimizerSettings.defaults()[name]:
                raise UserError(
                    f"--{name}={value}: means nothing where all epochs are trained. Add "
                    f"--early_stopping=2, epochs without a smaller loss, or leave --{name} out."
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistillationSettings(Settings):
    """The teacher of a run, and how much of the loss is its answers'.

    The defaults of weight and temperature are those of Hugging Face's example of DistilBERT's
    authors, which fine-tunes with a teacher (Sanh et al. 2019, https://arxiv.org/abs/1910.01108).
    The weight of the layers is chosen to be near the ratio that CoFi has between layers and answers
    (Xia et al. 2022, https://arxiv.org/abs/2204.00408: 0.9 to 0.1).
    """

    teacher: str = option(
        "",
        "Folder of a finished run, also of another encoder: learn from its answers to the training "
        f"texts besides the labels; {START} = the run that this one starts from.",
        names=(START,),
    )
    distill_weight: float = option(
        0.5,
        "Weight of the teacher's answers in the loss; the labels have the rest.",
        limits=dataclasses.replace(_UP_TO_ONE, is_fraction=True),
    )
    distill_temperature: float = option(
        2.0,
        "Temperature that softens the probabilities of teacher and student before they are "
        "compared; a regression has none.",
        limits=Limits(0.01, 1000.0, "from 0.01 to 1000"),
    )
    distill_layers: str = option(
        "",
        "Learn the teacher's states of some layers as well, where both encoders are BERTs (family "
        f"bert): {UNIFORM} = as many as the smaller of the two has, spread over "
        "the other's; or pairs of the student's layer and the teacher's, from 1, as 2:4,4:8,6:12.",
    )
    distill_tokens: str = option(
        FIRST,
        f"Of which tokens the layers' states are learned: {', '.join(TOKENS)}; {FIRST} = the one "
        "that is pooled; all = every word piece, which have to be the same in both encoders.",
        choices=TOKENS,
    )
    distill_layers_weight: float = option(
        10.0,
        "Weight of the layers' states in the loss, besides that of labels and answers.",
        limits=Limits(0.0, 1000.0, "from 0 to 1000"),
    )
    distill_attention: str = option(
        "",
        "Learn as well how alike the tokens of a text are to the teacher, by the queries, keys and "
        "values of one layer, where both encoders are BERTs (family bert) of the same word pieces: "
        f"{LAST} = both last layers'; or the student's layer and the teacher's, from 1, as 6:10.",
    )
    distill_attention_weight: float = option(
        1.0,
        "Weight of the relations of --distill_attention in the loss, besides that of labels and "
        "answers.",
        limits=Limits(0.0, 1000.0, "from 0 to 1000"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # However they are written, the same layers are the same run.
        if self.distill_layers not in ("", UNIFORM):
            pairs = ",".join(f"{mine}:{theirs}" for mine, theirs in self.layer_pairs)
            object.__setattr__(self, "distill_layers", pairs)
        if self.distill_attention not in ("", LAST):
            mine, theirs = self.attention_pair
            object.__setattr__(self, "distill_attention", f"{mine}:{theirs}")

    @property
    def unused_teaching(self) -> tuple[str, ...]:
        """Return the settings here that mean nothing, since what they need is not given."""
        lacking = [names for needed, names in NEEDED.items() if not getattr(self, needed)]
        return tuple(dict.fromkeys(name for names in lacking for name in names))

    @property
    def layer_pairs(self) -> list[tuple[int, int]]:
        """Return the pairs of student's and teacher's layers, from 1, that `distill_layers` names.

        Raises:
          UserError: it names none, or in another order than from the lowest layer to the highest.
        """
        pairs = _pairs(self.distill_layers)
        if not pairs:
            raise UserError(
                f"--distill_layers={self.distill_layers}: no pairs of layers. Good: {UNIFORM}, or "
                "the student's layer and the teacher's, from 1 and from the lowest pair to the "
                "highest, as 2:4,4:8,6:12."
            )
        return pairs

    @property
    def attention_pair(self) -> tuple[int, int]:
        """Return the student's and the teacher's layer, from 1, that `distill_attention` names.

        Raises:
          UserError: it names none.
        """
        pairs = _pairs(self.distill_attention)
        if len(pairs) != 1:
            raise UserError(
                f"--distill_attention={self.distill_attention}: no pair of layers. Good: {LAST}, "
                "or the student's layer and the teacher's, from 1, as 6:10."
            )
        return pairs[0]


def _pairs(text: str) -> list[tuple[int, int]]:
    """Return the pairs of layers of a text as `2:4,4:8`; empty where it is no rising list."""
    parts = text.split(",")
    found = [re.fullmatch(r"\s*(\d{1,4})\s*:\s*(\d{1,4})\s*", part) for part in parts]
    pairs = [(int(one[1]), int(one[2])) for one in found if one]
    sides = list(zip(*pairs, strict=True))
    is_rising = all(0 not in side and list(side) == sorted(set(side)) for side in sides)
    return pairs if is_rising and len(pairs) == len(parts) else []


# The settings of a teacher, and those of them that mean nothing without one.
TEACHING = DistillationSettings.names()
DISTILLING = tuple(name for name in TEACHING if name != "teacher")
# A setting -> those that mean nothing where it is empty.
NEEDED = {
    "teacher": DISTILLING,
    "distill_layers": ("distill_tokens", "distill_layers_weight"),
    "distill_attention": ("distill_attention_weight",),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceSettings(Settings):
    """The devices and the numbers that are computed with."""

    strategy: str = option(
        "auto",
        f"Distribution strategy: {', '.join(STRATEGIES)}; auto = the workers that TF_CONFIG names, "
        "else TPU, else GPU, else CPU.",
        choices=STRATEGIES,
    )
    mixed_precision: str = option(
        "auto",
        f"Numbers to compute with: {', '.join(PRECISIONS)}; none = float32, auto = bfloat16 on a "
        "TPU, else none; bfloat16_products = bfloat16 in the products of a BERT's layers "
        "alone, for CPUs with AMX. Weights, masks and what is saved are float32.",
        choices=PRECISIONS,
    )
