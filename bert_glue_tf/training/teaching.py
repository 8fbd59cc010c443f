"""The answers of a run's teacher to the training texts, which it is asked for once.

They are kept in the run's folder until the run is finished, so that one that goes on learns from
the same answers to the bit, and does not wait for them again. The teacher itself is let go of
before the training.

Of the states of its layers those of each text's first token are kept, one vector a text and a layer
whatever the tokenizers are, or those of all tokens, which take as many times the room as a text has
pieces and have to be the same pieces in both encoders. Of its attention the queries, keys and
values of all tokens are kept. Each lies in a file that is mapped into memory, of which a batch
reads its own rows, as float16, which takes half of the room.
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
from bert_glue_tf.data.modality import Encoded
from bert_glue_tf.evaluation import metrics
from bert_glue_tf.evaluation.evaluator import EVALUATION_BATCH
from bert_glue_tf.models import heads, saving
from bert_glue_tf.models.backbone import Backbone
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.inputs import deciding
from bert_glue_tf.runs.settings import START
from bert_glue_tf.training import answer_files, layer_pairs, questions, starting_point, teachers
from bert_glue_tf.training.hints import Hint
from bert_glue_tf.training.inputs import Inputs
from bert_glue_tf.training.job import Job
from bert_glue_tf.training.questions import Question
from bert_glue_tf.training.teachers import Teacher
from bert_glue_tf.training.token_rows import TokenRows

_WHOLE_BATCH = 8  # Texts of which all tokens' values are in memory at once.
# Features of a batch to logits [batch, width] and, for each question, [batch, tokens, *shape].
_Answer = Callable[[Mapping[str, np.ndarray]], tuple[np.ndarray, list[np.ndarray]]]


@dataclasses.dataclass(frozen=True)
class Lesson:
    """The answers of a teacher to the training split.

    Attributes:
      teacher: who has answered.
      answers: float32 [n, width], its logits in the order of the student's outputs.
      scores: name -> its score on the training split.
      asked: what it was asked for besides.
      hints: what is learned of the answers to that.
    """

    teacher: Teacher
    answers: np.ndarray
    scores: Mapping[str, float]
    asked: Sequence[Question] = ()
    hints: Sequence[Hint] = ()

    def record(self) -> dict[str, Any]:
        """Return what a run's record says of its teacher, in JSON types."""
        run = self.teacher.run
        return {
            "run": run.path.name,
            "encoder": run.result.encoder.get("name", ""),
            "sha256": self.teacher.sha256,
            "metrics": dict(run.result.metrics),
            "train_metrics": dict(self.scores),
            **dict(item for one in self.asked for item in one.record().items()),
        }


def rehearse(
    settings: ExperimentConfig, inputs: Inputs, encoder: Backbone, student: Backbone
) -> None:
    """Compare the layers of student and teacher, before the run that may be the teacher is done.

    Args:
      settings: of the run, which asks for what lies inside of the encoders.
      inputs: its examples.
      encoder: as it was loaded, and as the run that this one starts from has it.
      student: the same as this run trains it.

    Raises:
      UserError: as `questions.of`.
    """
    is_start = settings.teacher == START
    teacher = None if is_start else teachers.find(settings, inputs.task, None)
    flag = questions.flag_of(settings)
    states = layer_pairs.states_of(teacher, flag) if teacher else encoder.states
    questions.of(settings, student.states, states)


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
    wanted: list[Question] = []
    if flag := questions.flag_of(settings):
        found = layer_pairs.states_of(teacher, flag)
        wanted = questions.of(settings, student.states, found)
    for question in wanted:
        logging.info("learned from the teacher: %s, %s", question.title, question.told)
    asked = _asked(settings, inputs, teacher, student, wanted)
    kept = answer_files.find(folder, asked, wanted)
    if kept is None:
        _ask_now(job, inputs, teacher, student, wanted)
        answer_files.finish(folder, asked)
        memory.collect(run.result.bytes.get("plain", 0))  # The teacher, which nobody holds now.
        kept = answer_files.read(folder, wanted)
    logits, rows = kept
    answers = logits[..., teacher.outputs]
    if problems.diverged(answers):
        raise UserError(
            f"{teacher.flag}: it answers with values that are not numbers, since its training "
            "diverged. Give another teacher."
        )
    hints = [
        question.hint(_with_room(job, one)) for question, one in zip(wanted, rows, strict=True)
    ]
    return Lesson(teacher, answers, _scores(teacher, inputs, answers), wanted, hints)


def _with_room(job: Job, rows: TokenRows) -> TokenRows:
    """Return rows of which a replica's part of a batch has as many as any, where all have to."""
    if not job.is_static:
        return rows
    texts = -(-job.config.batch_size // job.strategy.num_replicas_in_sync)
    return dataclasses.replace(rows, room=texts * int(rows.lengths.max(initial=1)))


def _asked(
    settings: ExperimentConfig,
    inputs: Inputs,
    teacher: Teacher,
    student: Backbone,
    wanted: Sequence[Question],
) -> str:
    """Return what is asked of a teacher, as text: all that its answers may depend on.

    The settings are part of it, which say of the files which texts are trained on, and in which
    pieces: until the training begins, a folder may be given others.
    """
    read = {**inputs.provenance, **teacher.provenance, "student": student.provenance}
    what = [one.asked() for one in wanted]
    return f"{deciding(read)} {json.dumps(what)} {settings.without_places()}"


def _ask_now(
    job: Job, inputs: Inputs, teacher: Teacher, student: Backbone, wanted: Sequence[Question]
) -> None:
    """Let the teacher answer, and write what it answers; for the arguments see `ask`."""
    folder = job.folder.teacher_answers
    of_all = [question for question in wanted if question.of_all_tokens]
    for question in of_all:
        _require_same_order(teacher, question)
    texts = _tokens(teacher, inputs)
    for question in of_all[:1]:  # Of the others it is the same.
        _require_same_pieces(question, inputs, student, texts)
    answer_files.begin(folder)
    firsts = np.arange(len(texts) + 1)
    begins = np.concatenate([[0], np.cumsum(texts.lengths)])
    rows = [
        answer_files.room(folder, one, begins if one.of_all_tokens else firsts) for one in wanted
    ]
    answer_files.write(folder, _answers(teacher, texts, wanted, rows), rows)


def _scores(teacher: Teacher, inputs: Inputs, answers: np.ndarray) -> dict[str, float]:
    """Return the teacher's scores on the training texts, and tell them beside those of its run."""
    run, task = teacher.run, inputs.task
    assert inputs.train.labels is not None  # Else there would be nothing to train.
    # By its own problem, which has the threshold that was chosen for it.
    scored = dataclasses.replace(task, problem=run.task.problem)
    labels = inputs.train.labels
    if task.problem.tags_words:  # Texts that are held out may have more words.
        labels = labels[:, : answers.shape[1]]
    scores = metrics.compute(scored, labels, answers, also=task.problem.always_scored)
    name = task.primary_metric
    told = [f"{scores[name]:.4f} on the training texts"]
    for suffix, split in run.task.validation_splits.items():
        told.append(f"{run.result.metrics.get(f'{name}{suffix}', float('nan')):.4f} on {split}")
    logging.info("the teacher %s: %s %s", run.path.name, name, ", ".join(told))
    return scores


def _answers(
    teacher: Teacher,
    tokens: Encoded,
    wanted: Sequence[Question],
    rows: Sequence[TokenRows],
) -> np.ndarray:
    """Return the teacher's logits float32 [n, width] of the training texts, in its own order.

    Args:
      teacher: of the run.
      tokens: the texts in its word pieces.
      wanted: what it is asked for besides.
      rows: of each of these questions, filled with what it answers.
    """
    with progress.doing(f"loading the teacher {teacher.run.path.name}"):
        answer, layout = _asking(teacher, wanted) if wanted else _logits_alone(teacher)
    are_whole = any(question.of_all_tokens for question in wanted)
    size = _WHOLE_BATCH if are_whole else EVALUATION_BATCH
    logging.info("the teacher answers %s training texts", f"{len(tokens):,}")
    answers: np.ndarray | None = None
    begin, done = time.perf_counter(), 0
    with progress.Bar(len(tokens), "teacher") as bar:
        for batch in layout.batches(tokens.lengths, size):
            logits, found = answer(layout.features(tokens, batch))
            logits = tokens.answers(logits, batch)
            if answers is None:
                answers = np.empty((len(tokens), *logits.shape[1:]), np.float32)
            answers[batch] = logits
            for question, values, own in zip(wanted, found, rows, strict=True):
                is_there = np.arange(values.shape[1]) < own.lengths[batch][:, None]
                own.rows[own.places(batch)] = question.kept(values[is_there])
            done += len(batch)
            left = (time.perf_counter() - begin) / done * (len(tokens) - done)
            bar.show(done, f"about {progress.duration(left)} left")
    logging.info("the teacher has answered, in %s", progress.duration(time.perf_counter() - begin))
    assert answers is not None  # A run has training texts.
    return answers


def _logits_alone(teacher: Teacher) -> tuple[_Answer, Layout]:
    """Return the teacher as its SavedModel computes it, of whatever family its encoder is."""
    model = saving.SavedClassifier.load(teacher.run.folder.model)
    modality = teacher.run.task.modality
    layout = model.layout(modality.lengths(teacher.run.config.seq_length), modality)
    predict_fn = model.predict_fn(layout)
    return lambda features: (predict_fn(features), []), layout


def _asking(teacher: Teacher, wanted: Sequence[Question]) -> tuple[_Answer, Layout]:
    """Return the teacher built anew, which shows what its encoder computes."""
    model = saving.load_classifier(teacher.run.folder.model)
    layout = Padded(lengths=layouts.bucket_lengths(teacher.run.config.seq_length))
    select = {question.name: question.select for question in wanted}
    whole = heads.with_inside(model, layout.inputs, select)

    def stacked(question: Question, tensors: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return [batch, tokens, *shape] of tensors [batch, width, ...]."""
        some = [one if question.of_all_tokens else one[:, :1] for one in tensors]
        flat = [tf.reshape(one, [*tf.unstack(tf.shape(one)[:2]), -1]) for one in some]
        return tf.cast(tf.stack(flat, axis=2), tf.float32)

    @tf.function(input_signature=[layout.signature()])
    def forward(features: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        found = whole(features, training=False)
        return found["logits"], [stacked(one, found[one.name]) for one in wanted]

    def answer(features: Mapping[str, np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        logits, inside = forward(features)
        return logits.numpy(), [one.numpy() for one in inside]

    return answer, layout


def _tokens(teacher: Teacher, inputs: Inputs) -> Encoded:
    """Return the training texts in the word pieces of the teacher, which has its own tokenizer."""
    run, examples = teacher.run, inputs.train
    folder = str(run.folder.model / "preprocessing")
    with progress.doing(f"tokenizing {len(examples):,} training texts for the teacher"):
        modality = run.task.modality
        reader = modality.reader(
            modality.load(folder, folder), run.task, run.config.seq_length, run.config.truncation
        )
        columns = examples.columns
        fields = teacher.fields or range(len(columns))  # Arrays have one, which has no name.
        tokens = modality.encode(reader, tuple(columns[place] for place in fields))
    if tokens.cut:
        logging.info(
            "%d of them are longer than the %d pieces that the teacher reads, and were cut",
            tokens.cut,
            run.config.seq_length,
        )
    return tokens


def _require_same_order(teacher: Teacher, question: Question) -> None:
    """Refuse a teacher that reads the texts of an example in another order than the student.

    Raises:
      UserError: it does.
    """
    if teacher.fields != sorted(teacher.fields):
        raise UserError(
            f"{question.needs_pieces}: the teacher reads the texts of an example in another order "
            f"({', '.join(teacher.run.task.text_fields)}), and so other word pieces in their "
            f"places. Give --text_columns in that order, or {question.without_pieces}."
        )


def _require_same_pieces(
    question: Question, inputs: Inputs, student: Backbone, theirs: Encoded
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
            f"{question.needs_pieces}: the teacher reads {len(differ):,} of the "
            f"{len(mine):,} training texts in other word pieces than this run (text {first + 1}: "
            f"{theirs.lengths[first]} and {mine.lengths[first]}). Give a teacher of the same "
            f"vocabulary, --seq_length and --truncation, or {question.without_pieces}."
        )
