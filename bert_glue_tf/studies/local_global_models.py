"""The study's own models, its recipes for them, and the shares by which its authors' code prunes.

CNNs over word vectors extract aspects; BERT with five heads tags aspects with their polarity.
What is not said by the study is its authors' code's, as `published/local_global.json` has it.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from bert_glue_tf.compression.names import NO_PRUNING, SOFT
from bert_glue_tf.core import strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import sha256, write_atomically
from bert_glue_tf.models.vector_encoders import VectorEncoder
from bert_glue_tf.runs.settings import PLATEAU
from bert_glue_tf.studies import printed, words
from bert_glue_tf.studies.cells import cell
from bert_glue_tf.studies.local_global_grids import Grid, Pruned, Way, pruned_cells

_SCOPE = {"pruning_scope": "all"}  # The study prunes the embeddings too.
# Ours, of all CNNs; see `deviations`. Batches, rate and epochs are those of the authors' code.
_PLATEAU_EPOCHS, _STOPPING = 20, 25
_OF_A_CNN = {
    "warmup_fraction": "0",
    "weight_decay": "0",
    "dropout": "0",  # The networks have their own between the layers.
    "seq_length": "85",
    "decay": PLATEAU,
    "plateau_epochs": str(_PLATEAU_EPOCHS),
    "early_stopping": str(_STOPPING),
    "keep": "best",
}
STEPS_OF_A_BERT = 1000  # Of the steps after this one the best on dev is taken.
OF_A_BERT = {
    "epochs": "18",  # 1,500 steps of 32 sentences are 17.5 passes over laptop14's 2,741.
    "batch_size": "32",
    "learning_rate": "2e-5",
    "warmup_fraction": "0",
    "weight_decay": "0",
    "keep": "best",
}
# Settings that change how many steps there are, or which of them is taken.
SHORTER = frozenset(
    ("epochs", "finetune_epochs", "keep", "batch_size", "train_examples", "early_stopping")
)
# Settings that mean something for BERTs alone.
_OF_BERTS = ("preprocessing", "encoder_dropout")


@dataclasses.dataclass(frozen=True)
class Studied:
    """One of the study's models on one of its data sets.

    Attributes:
      name: of --models.
      title: the name to call it by.
      task: its task.
      design: of a CNN over word vectors; empty for a BERT.
      head: of a BERT's tags; empty for a CNN.
    """

    name: str
    title: str
    task: str
    design: str = ""
    head: str = ""

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds where nobody names them: three of what is small, one of a BERT."""
        return (1, 2, 3) if self.design else (1,)

    def recipe(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the settings of its trainings.

        Args:
          given: settings that somebody has chosen, which go before the recipe's.
        """
        if self.design:
            facts = _code()["cnn"]
            own = {
                **_OF_A_CNN,
                "epochs": str(facts["epochs"][self.design]),
                "batch_size": str(facts["batch_size"]),
                "learning_rate": str(facts["learning_rate"]),
            }
            chosen = {n: v for n, v in given.items() if n not in _OF_BERTS}
            if given.get("decay", PLATEAU) != PLATEAU:
                del own["plateau_epochs"]  # It means nothing with another decay.
        else:
            own = {**OF_A_BERT, "tagging_head": self.head}
            if not SHORTER & set(given):
                own["keep_after"] = str(STEPS_OF_A_BERT)
            chosen = dict(given)
        return {**own, **chosen, "task": self.task}


MODELS: Mapping[str, Studied] = {
    one.name: one
    for one in (
        Studied("conv4", "Conv-4, laptop", "laptop14_aspects", "conv4"),
        Studied("conv6", "Conv-6, laptop", "laptop14_aspects", "conv6"),
        Studied("de_cnn_laptop", "DE-CNN, laptop", "laptop14_aspects", "de_cnn"),
        Studied("de_cnn_restaurant", "DE-CNN, restaurant", "rest16_aspects", "de_cnn"),
        Studied("bert_linear", "BERT-linear, laptop14", "laptop14_e2e", head="linear"),
        Studied("bert_crf", "BERT-crf, laptop14", "laptop14_e2e", head="crf"),
        Studied("bert_tfm", "BERT-tfm, laptop14", "laptop14_e2e", head="transformer"),
        Studied("bert_gru", "BERT-gru, laptop14", "laptop14_e2e", head="gru"),
        Studied("bert_san", "BERT-san, laptop14", "laptop14_e2e", head="self_attention"),
    )
}
CONVOLUTIONS = ("conv4", "conv6")
DE_CNNS = ("de_cnn_laptop", "de_cnn_restaurant")
BERTS = tuple(name for name, one in MODELS.items() if one.head)


_NOT_ITS_ALGORITHM = {
    Way.EQUAL: f"{Way.EQUAL.told} has one sparsity for both, and what is pruned stays zero",
    Way.REGROWN: f"{Way.REGROWN.told}, weights grow back, and the sparsities are not equal",
}


def deviations(names: Sequence[str], asked: Sequence[Way]) -> list[str]:
    """Return what the published values are, and in what our trainings and the authors' code differ.

    Args:
      names: of the models.
      asked: the ways.
    """
    facts = _code()["cnn"]
    ours = "; ".join(_NOT_ITS_ALGORITHM[way] for way in Way if way in asked)
    found = [
        "By the study's Algorithm 1 weights may grow back until the next mask, and both rankings "
        f"have the same sparsity. What is run here is not quite that: {ours}."
    ]
    if any(printed.unpruned(name) is not None for name in names):
        told = printed.document("local_global")["unpruned_elsewhere"]["from"]
        found.append(f"published: F1 of the unpruned model, by the paper it comes from. {told}")
    if any(MODELS[name].design for name in names):
        theirs = ", ".join(f"{value} of {name}" for name, value in facts["plateau_epochs"].items())
        found.append(
            f"The recipe of a CNN is not all that of the authors' code: the rate falls after "
            f"{_PLATEAU_EPOCHS} epochs without a better one (theirs: {theirs}), the training ends "
            f"after {_STOPPING} (theirs: {facts['early_stopping']}), unless flags say others; and "
            "the epoch of the best score on the held-out sentences is taken, theirs the one of the "
            "smallest loss."
        )
    if Way.REGROWN in asked:
        found.append(
            "What is scored here has been pruned and has its sparsity; their code may take a BERT "
            "from between two prunings, when weights have grown back."
        )
    return found


@dataclasses.dataclass(frozen=True)
class Vectors:
    """The files that encoders of CNNs are made of.

    Attributes:
      data: folder of the tasks' files.
      vectors: general word vectors.
      words: names of the rows of an .npz file; None of a text file.
      table: of an .npz file.
    """

    data: pathlib.Path
    vectors: pathlib.Path
    words: pathlib.Path | None
    table: str

    def write(self, one: Studied, folder: pathlib.Path) -> None:
        """Write the encoder of a CNN, and beside it a file that says what it is made of.

        Raises:
          UserError: a file is missing or cannot be read, or the folder cannot be written.
        """
        made = VectorEncoder(
            design=one.design,
            vectors=self.vectors,
            words=self.words,
            table=self.table,
            task=one.task,
            data=str(self.data),
        )
        made.write(folder)
        text = json.dumps(self._made_of(), indent=1) + "\n"
        try:
            write_atomically(_made_of_file(folder), text)
        except OSError as error:
            raise UserError(
                f"{_made_of_file(folder)}: cannot be written ({error.strerror}). Give another "
                "folder: --encoders=FOLDER."
            ) from error

    def require_same(self, folder: pathlib.Path, flags: str) -> None:
        """Refuse an encoder that is there already and is made of other vectors.

        Args:
          folder: of the encoder.
          flags: those that name the vectors, as they were given.

        Raises:
          UserError: it is, or nothing says what it is made of.
        """
        try:
            known = strict_json.loads(_made_of_file(folder).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = None
        if known != self._made_of():
            told = "of other vectors" if known else "and nothing says of which vectors"
            raise UserError(
                f"{flags}: {folder} is made already, {told}. Leave the flags out to take it as it "
                "is, or give --encoders=NEW, a folder that is not there."
            )

    def _made_of(self) -> dict[str, str]:
        """Return the digests of the files, and the table."""
        words = {"words": sha256(self.words)} if self.words else {}
        return {"vectors": sha256(self.vectors), **words, "table": self.table}


def _made_of_file(folder: pathlib.Path) -> pathlib.Path:
    return folder.with_name(f"{folder.name}_made_of.json")


def chosen(names: Sequence[str]) -> list[Studied]:
    """Return the models by their names, each once; all of them for no name.

    Raises:
      UserError: there is no such model.
    """
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        raise UserError(
            f"--models={','.join(names)}: no model {unknown[0]!r}. Good: {', '.join(MODELS)}."
        )
    return [MODELS[name] for name in dict.fromkeys(names or MODELS)]


def ways(names: Sequence[str]) -> list[Way]:
    """Return the ways by their names, each once.

    Raises:
      UserError: none or no such way is named.
    """
    good = [way.value for way in Way]
    if not names or not set(names) <= set(good):
        raise UserError(f"--ways={','.join(names)}: give some of {', '.join(good)}.")
    return [Way(name) for name in dict.fromkeys(names)]


def grids(
    one: Studied,
    given: Mapping[str, str],
    at: Sequence[float],
    seeds: Sequence[int],
    asked: Sequence[Way],
) -> list[Grid]:
    """Return a grid for each way; they share the unpruned model.

    Args:
      one: the model.
      given: settings that somebody has chosen, `encoder` among them.
      at: the sparsities.
      seeds: of each; none means the model's own.
      asked: the ways.

    Raises:
      UserError: a setting is none of a run, or the authors' code has no share for a sparsity.
    """
    own = one.recipe(given)
    used = tuple(seeds) or one.seeds
    unpruned = cell("unpruned", own, NO_PRUNING, used)
    return [
        Grid(
            one.name if way is Way.EQUAL else f"{one.name}_{way.value}",
            f"{one.title}, {way.told}",
            unpruned,
            pruned_cells(own, at, used, _SETTINGS[way](one)),
            one.name,
            way,
        )
        for way in asked
    ]


def _equal(one: Studied) -> Pruned:
    """Return the settings of a schedule that keeps its masks, one sparsity for every matrix."""
    del one
    return lambda ranking, sparsity: {
        **_SCOPE,
        "pruning_schedule": "gradual",
        "final_sparsity": str(sparsity),
    }


def _regrown(one: Studied) -> Pruned:
    """Return the settings by which the authors' code prunes: see `shares` and `amount`."""

    def settings(ranking: str, sparsity: float) -> dict[str, str]:
        own = {**_SCOPE, "pruning_schedule": SOFT}
        if ranking == "global":
            return {**own, "final_sparsity": str(amount(one, sparsity))}
        named = " ".join(f"{name}={value:g}" for name, value in shares(one, sparsity).items())
        return {**own, "final_sparsity": str(sparsity), "region_sparsities": named}

    return settings


_SETTINGS = {Way.EQUAL: _equal, Way.REGROWN: _regrown}


# --- how the authors' code prunes ---

_HEADS = {"transformer": "tfm", "self_attention": "san"}  # That their code calls otherwise.


def amount(one: Studied, sparsity: float) -> float:
    """Return the share of all weights that the authors' global pruning removes.

    Args:
      one: the model.
      sparsity: as the study's figures name it.

    Raises:
      UserError: their code has none for it.
    """
    if not one.design:
        return sparsity
    facts = _code()["cnn"]
    return float(facts["global_amounts"][one.design][_place(facts["sparsities"], sparsity)])


def shares(one: Studied, sparsity: float) -> dict[str, float]:
    """Return part of the network -> the share of it that the authors' local pruning removes.

    Of a CNN the numbers are those of their code, tensor by tensor in the order of PyTorch's
    modules, where a layer's bias comes before its weight. Their list is one for networks with one
    table of vectors and with two: with two each number belongs to the tensor before the one that
    it was written for, so that up to 50 % only the general vectors and biases are pruned. Biases
    are not pruned here.

    Of a BERT their code divides the weights to remove, as shares of all weights of BERT-base, among
    its word embeddings, its feed-forward matrices and its attention matrices, to which it counts
    those of a head; a smaller encoder loses the same share of each of these. The matrices of our
    heads are not pruned.

    Args:
      one: the model.
      sparsity: as the study's figures name it.

    Raises:
      UserError: their code has none for it.
    """
    return _of_a_cnn(one, sparsity) if one.design else _of_a_bert(one, sparsity)


def _of_a_cnn(one: Studied, sparsity: float) -> dict[str, float]:
    facts = _code()["cnn"]
    numbers = facts["local_shares"][_place(facts["sparsities"], sparsity)]
    tensors = facts["tensors"][one.design]
    named = dict(zip(tensors, numbers, strict=False))  # The list is longer than most networks.
    found = {name: float(value) for name, value in named.items() if not name.endswith(" bias")}
    return {**found, "others": 0.0}


def _of_a_bert(one: Studied, sparsity: float) -> dict[str, float]:
    facts = _code()["settings"]
    sizes = facts["bert_base"]
    row = facts["local_shares"][
        _place([one["sparsity"] for one in facts["local_shares"]], sparsity)
    ]
    whole, matrices = sizes["parameters"], facts["matrices"][_HEADS.get(one.head, one.head)]
    found = {
        "words": row["largest"] * whole / sizes["words"],
        "feed-forward": row["next"] * whole / matrices["next"] / sizes["feed_forward_matrix"],
        "attention": row["rest"] * whole / matrices["rest"] / sizes["attention_matrix"],
    }
    return {name: round(value, 4) for name, value in found.items()} | {"others": 0.0}


def _place(known: Sequence[float], sparsity: float) -> int:
    for place, value in enumerate(known):
        if abs(value - sparsity) < 1e-9:
            return place
    good = ", ".join(words.percent(value) for value in known)
    raise UserError(
        f"--sparsities: the authors' code has no shares for {words.percent(sparsity)}, but for "
        f"{good}. Choose some of these, or leave their way out: --ways=equal."
    )


def _code() -> dict[str, Any]:
    return dict(printed.document("local_global")["authors_code"])
