"""The answers of a run's teacher to the training texts, which it is asked for once.

They are kept in the run's folder until the run is finished, so that one that goes on learns from
the same answers to the bit, and does not wait for them again. The teacher itself is let go of
before the training.

Of the states of its layers those of each text's first token are kept, one vector a text and a layer
whatever the tokenizers are, or those of all tokens, which take as many times the room as a text has
pieces and have to be the same pieces in both encoders. They lie in a file that is mapped into
memory, of which a batch reads its own rows, as float16, which takes half of the room.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from bert_glue_tf.core import memory, progress
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import layouts, preprocessing, problems
from bert_glue_tf.data.layouts import Layout, Padded
from bert_glue_tf.data.preprocessing import TokenizedTexts
from bert_glue_tf.evaluation import metrics
from bert_glue_tf.evaluation.evaluator import EVALUATION_BATCH
from bert_glue_tf.models import heads, saving
from bert_glue_tf.models.backbone import Backbone
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.inputs import deciding
from bert_glue_tf.runs.settings import ALL, START
from bert_glue_tf.training import answer_files, layer_pairs, starting_point, teachers
from bert_glue_tf.training.inputs import Inputs
from bert_glue_tf.training.job import Job
from bert_glue_tf.training.layer_pairs import Pairs
from bert_glue_tf.training.teacher_states import LayerStates, TokenStates
from bert_glue_tf.training.teachers import Teacher

_WHOLE_BATCH = 8  # Texts of which all states are in memory at once.
# Features of a batch to logits [batch, width] and, where there are some, states [batch, layers,
# tokens, hidden].
_Answer = Callable[[Mapping[str, np.ndarray]], tuple[np.ndarray, np.ndarray | None]]


@dataclasses.dataclass(frozen=True)
class Lesson:
    """The answers of a teacher to the training split.

    Attributes:
      teacher: who has answered.
      answers: float32 [n, width], its logits in the order of the student's outputs.
      scores: name -> its score on the training split.
      pairs: the layers that learn from layers of the teacher.
      states: of these layers of the teacher; None where there are none.
    """

    teacher: Teacher
    answers: np.ndarray
    scores: Mapping[str, float]
    pairs: Pairs = ()
    states: LayerStates | None = None

    def record(self) -> dict[str, Any]:
        """Return what a run's record says of its teacher, in JSON types."""
        run = self.teacher.run
        return {
            "run": run.path.name,
            "encoder": run.result.encoder.get("name", ""),
            "sha256": self.teacher.sha256,
            "metrics": dict(run.result.metrics),
            "train_metrics": dict(self.scores),
            "layers": [list(pair) for pair in self.pairs],
        }


def rehearse(
    settings: ExperimentConfig, inputs: Inputs, encoder: Backbone, student: Backbone
) -> None:
    """Compare the layers of student and teacher, before the run that may be the teacher is done.

    Args:
      settings: of the run; `distill_layers` is given.
      inputs: its examples.
      encoder: as it was loaded, and as the run that this one starts from has it.
      student: the same as this run trains it.

    Raises:
      UserError: as `layer_pairs.choose`.
    """
    is_start = settings.teacher == START
    teacher = None if is_start else teachers.find(settings, inputs.task, None)
    states = layer_pairs.states_of(teacher, settings) if teacher else encoder.states
    layer_pairs.choose(settings, student.states, states)


def ask(job: Job, inputs: Inputs, teacher: Teacher, student: Backbone) -> Lesson:
    """Return a teacher's answers to the training texts, as they are kept or given now.

    Args:
      job: the run.
      inputs: its examples.
      teacher: of the run.
      student: the encoder that the run trains.

    Raises:
      UserError: the answers are no numbers or cannot be written, the teacher cannot be loaded, or
        its layers do not fit.
    """
    run, settings, folder = teacher.run, job.config, job.folder.teacher_answers
    starting_point.warn_of_seen(teacher.flag, run.folder, inputs)
    if run.result.collapsed:
        logging.warning("%s: is COLLAPSED: %s", teacher.flag, run.result.collapsed)
    pairs: Pairs = ()
    if settings.distill_layers:
        found = layer_pairs.states_of(teacher, settings)
        pairs = layer_pairs.choose(settings, student.states, found)
        logging.info("layers learn from the teacher's: %s", _told(pairs))
    asked = _asked(settings, inputs, teacher, student, pairs)
    kept = answer_files.find(folder, asked, bool(pairs))
    if kept is None:
        _ask_now(job, inputs, teacher, student, pairs)
        answer_files.finish(folder, asked)
        memory.collect(run.result.bytes.get("plain", 0))  # The teacher, which nobody holds now.
        kept = answer_files.read(folder, bool(pairs))
    logits, states = kept
    answers = logits[:, teacher.outputs]
    if problems.diverged(answers):
        raise UserError(
            f"{teacher.flag}: it answers with values that are not numbers, since its training "
            "diverged. Give another teacher."
        )
    learned = None
    if states is not None:
        mine = [mine for mine, _ in pairs]
        are_whole = [layer < student.states.count for layer in mine]
        learned = LayerStates(mine, states, are_whole, settings.distill_layers_weight)
    return Lesson(teacher, answers, _scores(teacher, inputs, answers), pairs, learned)


def _asked(
    settings: ExperimentConfig, inputs: Inputs, teacher: Teacher, student: Backbone, pairs: Pairs
) -> str:
    """Return what is asked of a teacher, as text: all that its answers may depend on.

    The settings are part of it, which say of the files which texts are trained on, and in which
    pieces: until the training begins, a folder may be given others.
    """
    read = {**inputs.provenance, **teacher.provenance, "student": student.provenance}
    what = [pairs, settings.distill_tokens if pairs else ""]
    return f"{deciding(read)} {json.dumps(what)} {settings.without_places()}"


def _ask_now(job: Job, inputs: Inputs, teacher: Teacher, student: Backbone, pairs: Pairs) -> None:
    """Let the teacher answer, and write what it answers; for the arguments see `ask`."""
    settings, folder = job.config, job.folder.teacher_answers
    texts = _tokens(teacher, inputs)
    splits = np.arange(len(texts) + 1)
    if pairs and settings.distill_tokens == ALL:
        _require_same_pieces(teacher, settings, inputs, student, texts)
        splits = texts.row_splits
    answer_files.begin(folder)
    states = None
    if pairs:
        shape = (int(splits[-1]), len(pairs), student.states.width)
        states = answer_files.room(folder, settings.distill_layers, splits, shape)
    answers = _answers(teacher, texts, [theirs for _, theirs in pairs], states)
    answer_files.write(folder, answers, states)


def _told(pairs: Pairs) -> str:
    return ", ".join(f"{mine} from {theirs}" for mine, theirs in pairs)


def _scores(teacher: Teacher, inputs: Inputs, answers: np.ndarray) -> dict[str, float]:
    """Return the teacher's scores on the training texts, and tell them beside those of its run."""
    run, task = teacher.run, inputs.task
    assert inputs.train.labels is not None  # Else there would be nothing to train.
    # By its own problem, which has the threshold that was chosen for it.
    scored = dataclasses.replace(task, problem=run.task.problem)
    scores = metrics.compute(scored, inputs.train.labels, answers, also=task.problem.always_scored)
    name = task.primary_metric
    told = [f"{scores[name]:.4f} on the training texts"]
    for suffix, split in run.task.validation_splits.items():
        told.append(f"{run.result.metrics.get(f'{name}{suffix}', float('nan')):.4f} on {split}")
    logging.info("the teacher %s: %s %s", run.path.name, name, ", ".join(told))
    return scores


def _answers(
    teacher: Teacher, tokens: TokenizedTexts, layers: Sequence[int], states: TokenStates | None
) -> np.ndarray:
    """Return the teacher's logits float32 [n, width] of the training texts, in its own order.

    Args:
      teacher: of the run.
      tokens: the texts in its word pieces.
      layers: of the teacher, from 1.
      states: filled with the directions of their states; None where there are no layers.
    """
    with progress.doing(f"loading the teacher {teacher.run.path.name}"):
        if states is None:
            answer, layout = _logits_alone(teacher)
        else:
            answer, layout = _with_states(teacher, layers, states.tokens)
    size = EVALUATION_BATCH if states is None or states.tokens == 1 else _WHOLE_BATCH
    logging.info("the teacher answers %s training texts", f"{len(tokens):,}")
    answers = np.empty((len(tokens), teacher.run.task.problem.width), np.float32)
    begin, done = time.perf_counter(), 0
    with progress.Bar(len(tokens), "teacher") as bar:
        for batch in layout.batches(tokens.lengths, size):
            logits, found = answer(layout.features(tokens, batch))
            answers[batch] = logits
            if states is not None and found is not None:
                length = np.linalg.norm(found, axis=-1, keepdims=True)
                directions = found / np.maximum(length, np.finfo(np.float32).tiny)
                places, is_there = states.places(batch)
                states.rows[places] = directions.swapaxes(1, 2)[is_there]
            done += len(batch)
            left = (time.perf_counter() - begin) / done * (len(tokens) - done)
            bar.show(done, f"about {progress.duration(left)} left")
    logging.info("the teacher has answered, in %s", progress.duration(time.perf_counter() - begin))
    return answers


def _logits_alone(teacher: Teacher) -> tuple[_Answer, Layout]:
    """Return the teacher as its SavedModel computes it, of whatever family its encoder is."""
    model = saving.SavedClassifier.load(teacher.run.folder.model)
    layout = model.layout(layouts.bucket_lengths(teacher.run.config.seq_length))
    predict_fn = model.predict_fn(layout)
    return lambda features: (predict_fn(features), None), layout


def _with_states(teacher: Teacher, layers: Sequence[int], tokens: int) -> tuple[_Answer, Layout]:
    """Return the teacher built anew, which shows the states of its layers."""
    model = saving.load_classifier(teacher.run.folder.model)
    layout = Padded(lengths=layouts.bucket_lengths(teacher.run.config.seq_length))
    whole = heads.with_states(model, layout.inputs, layers, tokens)

    @tf.function(input_signature=[layout.signature()])
    def forward(features: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        return whole(features, training=False)

    def answer(features: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        found = forward(features)
        return found["logits"].numpy(), found["states"].numpy()

    return answer, layout


def _tokens(teacher: Teacher, inputs: Inputs) -> TokenizedTexts:
    """Return the training texts in the word pieces of the teacher, which has its own tokenizer."""
    run, examples = teacher.run, inputs.train
    folder = str(run.folder.model / "preprocessing")
    with progress.doing(f"tokenizing {len(examples):,} training texts for the teacher"):
        preprocessor = preprocessing.build(
            preprocessing.load(folder, folder),
            run.task.text_fields,
            run.config.seq_length,
            run.config.truncation,
        )
        texts = tuple(examples.texts[place] for place in teacher.fields)
        tokens = preprocessing.tokenize(preprocessor, texts)
    if tokens.cut:
        logging.info(
            "%d of them are longer than the %d pieces that the teacher reads, and were cut",
            tokens.cut,
            run.config.seq_length,
        )
    return tokens


def _require_same_pieces(
    teacher: Teacher,
    settings: ExperimentConfig,
    inputs: Inputs,
    student: Backbone,
    theirs: TokenizedTexts,
) -> None:
    """Refuse texts that teacher and student read in other word pieces.

    Compared is how many pieces each text has: a vocabulary that was cut numbers the same pieces
    anew.

    Raises:
      UserError: names the first text that differs.
    """
    mine = preprocessing.tokenize(inputs.preprocessor(student.preprocessing), inputs.train.texts)
    differ = np.flatnonzero(mine.lengths != theirs.lengths)
    if len(differ):
        first = int(differ[0])
        raise UserError(
            f"--distill_tokens={settings.distill_tokens}: the teacher reads {len(differ):,} of the "
            f"{len(mine):,} training texts in other word pieces than this run (text {first + 1}: "
            f"{theirs.lengths[first]} and {mine.lengths[first]}). Give a teacher of the same "
            "vocabulary, --seq_length and --truncation, or --distill_tokens=first."
        )
