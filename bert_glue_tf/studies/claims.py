"""Claims of the four documents, and what a finished study answers to them."""

from __future__ import annotations

import dataclasses
import enum
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from bert_glue_tf.core import strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.records import FORMAT
from bert_glue_tf.reports import formats
from bert_glue_tf.reports.verdicts import Comparison
from bert_glue_tf.runs.config import short
from bert_glue_tf.studies import words

VERSION = 1  # Of the file of answers.
ENDING = "_claims.json"  # Of that file's name, behind the study's.
# In standard errors: half of a 95 % interval, and the difference that a test at 5 % finds in four
# cases of five.
_HALF, _FOUND = 1.96, 1.96 + 0.84


class Verdict(enum.Enum):
    """The answer to a claim in words."""

    HOLDS = "holds"
    DOES_NOT_HOLD = "does not hold"
    CANNOT_BE_TOLD = "cannot be told"
    NOT_RUN = "has not been run"

    @classmethod
    def _missing_(cls, value: object) -> Verdict | None:
        return cls.NOT_RUN if value == "not run" else None  # As earlier versions wrote it.


@dataclasses.dataclass(frozen=True)
class Claim:
    """A sentence of a document that an experiment can answer.

    Attributes:
      name: which tells it from the others; its first part is the study's, before a dot.
      document: short name of the document.
      text: the claim.
      asked_by: the command whose runs answer it; empty where there is none yet.
    """

    name: str
    document: str
    text: str
    asked_by: str


@dataclasses.dataclass(frozen=True)
class Answer:
    """Hold what was found about a claim.

    Attributes:
      claim: its name.
      verdict: in a word.
      numbers: what it rests on, in words.
      examples: that were scored; 0 where none were, as of arithmetic.
      seeds: of the trainings.
      encoder: name of it; empty where none was trained.
    """

    claim: str
    verdict: Verdict
    numbers: str
    examples: int = 0
    seeds: int = 0
    encoder: str = ""


_REPORT, _STRUCTURED = "report", "second report"
_LOCAL_GLOBAL, _SURVEY = "local and global", "survey"
_ASK_REPORT = "make reproduce-report"
_ASK_STRUCTURED = "make reproduce-structured"
_ASK_SHARED = "make reproduce-shared"
_ASK_LOCAL_GLOBAL = "make reproduce-local-global"
_ASK_SURVEY = "make survey"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "report.pruning_mrpc",
        _REPORT,
        "Pruning the classifier raises MRPC's validation accuracy (80.2 to 82.6)",
        _ASK_REPORT,
    ),
    Claim(
        "report.pruning_cola",
        _REPORT,
        "Pruning the classifier raises CoLA's validation accuracy (81.1 to 82.1)",
        _ASK_REPORT,
    ),
    Claim(
        "report.pruning_points",
        _REPORT,
        "Pruning 0.003 % of the weights raises MRPC by 2.3 points",
        _ASK_REPORT,
    ),
    Claim("report.quantization_mrpc", _REPORT, "Quantization keeps MRPC's accuracy", _ASK_REPORT),
    Claim("report.quantization_sst2", _REPORT, "Quantization keeps SST-2's accuracy", _ASK_REPORT),
    Claim(
        "report.quantization_points",
        _REPORT,
        "Quantization raises MRPC by 5.1 points (80.21 to 85.29)",
        _ASK_REPORT,
    ),
    Claim(
        "report.second_epoch",
        _REPORT,
        "On MRPC with pruning, training and validation accuracy are nearly the same at the second "
        "epoch, and validation loss is below training loss",
        _ASK_REPORT,
    ),
    Claim("report.size", _REPORT, "Quantization takes 58.62 % off the size", _ASK_REPORT),
    Claim(
        "structured.irregular",
        _STRUCTURED,
        "Irregular pruning is best, at 1.428 times fewer weights",
        _ASK_STRUCTURED,
    ),
    Claim(
        "structured.column_block",
        _STRUCTURED,
        "Of the structures column is best and whole block is worst",
        _ASK_STRUCTURED,
    ),
    Claim(
        "structured.mrpc",
        _STRUCTURED,
        "Row, column and block pruning leave models that work on MRPC (F1 of 77.7 to 79.2)",
        _ASK_STRUCTURED,
    ),
    Claim(
        "structured.rte",
        _STRUCTURED,
        "Row, column and block pruning leave models that work on RTE (accuracy of 53.1 to 53.8)",
        _ASK_STRUCTURED,
    ),
    Claim(
        "shared.accuracy",
        _STRUCTURED,
        "Models of different sparsity that share their weights hardly differ in accuracy",
        _ASK_SHARED,
    ),
    Claim(
        "shared.pays",
        _STRUCTURED,
        "Because of the positions shared weights pay only above a sparsity of 4 % (CPU) or 20 % "
        "(LEA) for LeNet-5",
        _ASK_SHARED,
    ),
    Claim(
        "local_global.local",
        _LOCAL_GLOBAL,
        "Local pruning is more effective than global pruning",
        _ASK_LOCAL_GLOBAL,
    ),
    Claim(
        "local_global.bert_until_60",
        _LOCAL_GLOBAL,
        "BERT's taggers: local keeps a considerable score until 60 %, global drops after 30 %",
        _ASK_LOCAL_GLOBAL,
    ),
    Claim(
        "local_global.de_cnn_until_80",
        _LOCAL_GLOBAL,
        "DE-CNN: local keeps a considerable F1 until 80 %, global drops right after 30 %",
        _ASK_LOCAL_GLOBAL,
    ),
    Claim(
        "local_global.conv",
        _LOCAL_GLOBAL,
        "Conv-4 and Conv-6: local is more effective for the extraction of aspects",
        _ASK_LOCAL_GLOBAL,
    ),
    Claim(
        "local_global.de_cnn_share",
        _LOCAL_GLOBAL,
        "DE-CNN: about 70 % of the parameters are in the two embedding layers",
        _ASK_LOCAL_GLOBAL,
    ),
    Claim(
        "local_global.de_cnn_zeros",
        _LOCAL_GLOBAL,
        "DE-CNN: global pruning empties every layer but the embeddings first",
        _ASK_LOCAL_GLOBAL,
    ),
    Claim(
        "local_global.bert_zeros",
        _LOCAL_GLOBAL,
        "BERT: global pruning empties the embeddings of positions and of token types ahead of "
        "those of words",
        _ASK_LOCAL_GLOBAL,
    ),
    Claim(
        "tagging.heads",
        "Li et al. 2019",
        "GRU, self-attention, a Transformer layer and a CRF on BERT find aspects and polarity "
        "better than a linear layer (rest14: 72.61 to 73.98, rest16: 69.67 to 70.51)",
        "make reproduce-tagging",
    ),
    Claim(
        "survey.layer",
        _SURVEY,
        "Greedy layer pruning costs BERT 0.5 points at 62 to 76 % of its weights",
        _ASK_SURVEY,
    ),
    Claim(
        "survey.filter",
        _SURVEY,
        "Filter pruning raises micro F1 by nearly 0.07 with 33.33 % fewer weights",
        _ASK_SURVEY,
    ),
    Claim("survey.block", _SURVEY, "Block pruning makes it 1.2 to 1.5 times as fast", _ASK_SURVEY),
    Claim(
        "survey.structured",
        _SURVEY,
        "Structured pruning (TextPruner) leaves 41.3 % of the size, is 1.90 times as fast, and "
        "keeps an acceptable score",
        f'{_ASK_SURVEY} ARGS="--methods=vocabulary+attention_head+neuron '
        '--final_sparsity=0.75 ..."',
    ),
    Claim(
        "survey.block_norm",
        _SURVEY,
        "Blocks pruned by their L2 norm: up to 5.0 times fewer weights with zero or minor "
        "degradation on GLUE",
        f'{_ASK_SURVEY} ARGS="--methods=block --final_sparsity=0.8 ..."',
    ),
    Claim(
        "survey.unstructured",
        _SURVEY,
        "Unstructured pruning makes it 3.4 times as fast at 90 % and 5.4 times at 95 % (SparseRT, "
        "on a GPU)",
        f'{_ASK_SURVEY} ARGS="--methods=magnitude --final_sparsity=0.9 ..."',
    ),
    Claim(
        "survey.magnitude",
        _SURVEY,
        "Magnitude pruning in stages removes up to 96.84 % of the connections (of an RNN)",
        f'{_ASK_SURVEY} ARGS="--methods=magnitude --final_sparsity=0.9684 ..."',
    ),
    Claim(
        "survey.movement",
        _SURVEY,
        "Movement pruning: the better the model, the more bias (GLUE)",
        "",
    ),
)


# --- numbers in words ---


def difference(found: Comparison) -> str:
    """Return a difference with its interval, seeds, and the smallest one that could be shown."""
    if not found.difference.is_defined:
        return "the score is undefined"
    p = formats.p_value(found.difference.p)
    seeds = len(found.difference.by_seed)
    return (
        f"{words.interval(found)} {found.metric}, p {p}, {seeds} seed{'s' if seeds > 1 else ''}; "
        f"shown four times of five would be {smallest(found):.3f}"
    )


def smallest(found: Comparison) -> float:
    """Return the difference that a test at 5 % would find in four cases of five."""
    low, high = found.difference.interval  # NaN where it is not defined.
    return found_four_times_of_five((high - low) / 2)


def found_four_times_of_five(half: float) -> float:
    """Return the difference that a test at 5 % would find in four cases of five.

    Args:
      half: of the width of the 95 % interval.
    """
    return half / _HALF * _FOUND


# --- the file of a study's answers ---


def text(study: str, answers: Sequence[Answer], made_by: str) -> str:
    """Return the JSON of a study's answers.

    Args:
      study: its name.
      answers: to its claims.
      made_by: the command whose runs they rest on.
    """
    rows = [
        {
            **dataclasses.asdict(one),
            "verdict": one.verdict.value,
            # Of a folder its name, wherever it lies.
            "encoder": ", ".join(short(name) for name in one.encoder.split(", ") if name),
        }
        for one in answers
    ]
    values = {FORMAT: VERSION, "study": study, "made_by": made_by, "answers": rows}
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


def read(path: pathlib.Path) -> tuple[str, list[Answer]]:
    """Return the command and the answers of a study's file.

    Raises:
      UserError: it is not what a study has written.
    """
    try:
        values: dict[str, Any] = dict(strict_json.loads(path.read_text(encoding="utf-8")))
        answers = [
            Answer(**{**row, "verdict": Verdict(row["verdict"])}) for row in values["answers"]
        ]
        return str(values["made_by"]), answers
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: not the answers that a study writes ({error}). Make them anew with its "
            "command."
        ) from None
