"""The exported files of a run made into files for MediaPipe's TextClassifier, and scored."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from bert_glue_tf.core import files, records
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.core.progress import doing
from bert_glue_tf.data import batching, preprocessing, vocabulary
from bert_glue_tf.data.batching import Split
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.layouts import Padded
from bert_glue_tf.data.preprocessing import TokenizedTexts
from bert_glue_tf.data.problems import probabilities
from bert_glue_tf.evaluation import evaluator, metrics, predictions
from bert_glue_tf.export import flatbuffer, golden, lengths, litert, metadata, signatures
from bert_glue_tf.export.defaults import PROBABILITIES
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.export.litert import LiteModel
from bert_glue_tf.export.making import Maker
from bert_glue_tf.export.mediapipe import client, packing, refusals, tokenizer
from bert_glue_tf.export.mediapipe.client import Answers
from bert_glue_tf.export.mediapipe.record import FILE_NAME, ClientResult, card, require_length
from bert_glue_tf.export.settings import ExportSettings
from bert_glue_tf.models.quantization.recipes import QuantizationRecipe
from bert_glue_tf.runs import versions
from bert_glue_tf.runs.finished import Run

_SHARE = 0.99  # Of the training texts, which the default length holds.


class MediaPipeExport:
    """Files for MediaPipe, of one run.

    Args:
      run: finished.
      examples: of its splits, train among them.
      length: of the files in word pieces; 0 for the shortest that holds 99 % of the training texts.
      program: a Python with MediaPipe; None where there is none.

    Raises:
      UserError: MediaPipe's client cannot answer the run's task, or not with its tokenizer.
    """

    def __init__(
        self,
        run: Run,
        examples: Mapping[str, Examples],
        length: int,
        program: pathlib.Path | None,
    ) -> None:
        self._run, self._task, self._examples = run, run.task, examples
        refusals.require_task(self._task)
        folder = run.folder.model / "preprocessing"
        self._loaded = preprocessing.load(str(folder), str(folder))
        self._switches = vocabulary.switches_of(folder, self._loaded.tokenize)
        self._pieces = refusals.require_tokenizer(self._switches, folder)
        self._program = program
        self._length = length or self._fitting()

    def _fitting(self) -> int:
        pieces = lengths.pieces_of(self._run, self._examples["train"])
        (length,) = lengths.holding(pieces, (_SHARE,), self._run.config.seq_length)
        logging.info("length %d: the shortest that holds 99 %% of the training texts", length)
        return length

    def require(self, folder: ExportFolder, recipes: Sequence[QuantizationRecipe]) -> None:
        """Check that no file of another length would be replaced.

        Raises:
          UserError: naming the file.
        """
        names = [folder.model(_stem(recipe)).name for recipe in recipes]
        require_length(folder.path, names, self._length)

    def make(
        self,
        folder: ExportFolder,
        settings: ExportSettings,
        recipes: Sequence[QuantizationRecipe],
    ) -> list[ClientResult]:
        """Write a file, a card and a record for each recipe, and return the records.

        Args:
          folder: that holds the recipes' own files.
          settings: of its export.
          recipes: of the files.
        """
        found = []
        with folder.locked(), contextlib.ExitStack() as stack:
            maker = self._maker(folder, settings)
            if maker:
                stack.callback(maker.close)
            for recipe in recipes:
                record, described = self._one(folder, recipe, settings, maker)
                records.append(folder.path / FILE_NAME, record)
                write_atomically(folder.card(record.stem), card(record, described))
                for line in record.lines():
                    logging.info("%s: %s", record.file, line)
                found.append(record)
            folder.write_checksums()
        return found

    def _maker(self, folder: ExportFolder, settings: ExportSettings) -> Maker | None:
        """Return what makes files of the client's length; None where the others have it."""
        if self._length in settings.seq_lengths:
            return None
        train, number = self._examples["train"], settings.calibration_examples
        maker = Maker(self._run, [self._length], train, number, folder.preprocessing)
        maker.convert()
        return maker

    def _preprocessor(self, length: int) -> Any:
        fields, truncation = self._task.text_fields, self._run.config.truncation
        return preprocessing.build(self._loaded, fields, length, truncation)

    def _one(
        self,
        folder: ExportFolder,
        recipe: QuantizationRecipe,
        settings: ExportSettings,
        maker: Maker | None,
    ) -> tuple[ClientResult, dict[str, Any]]:
        """Write the file of a recipe, score it, and return its record and its metadata."""
        stem = _stem(recipe)
        path = folder.model(stem)
        if maker:
            model, _ = maker.make(recipe)
        else:
            model = flatbuffer.read(folder.model(recipe.name).read_bytes())
        content, described = self._packed(model, recipe, folder, settings.threads)
        write_atomically(path, content)
        write_atomically(folder.metadata(stem), metadata.as_json(described))
        with doing(f"{path.name}: scoring"):
            found = self._scores(folder, recipe, path, LiteModel(content, settings.threads))
        return (
            ClientResult(
                run=self._run.path.name,
                client=refusals.CLIENT,
                recipe=recipe.name,
                file=path.name,
                sha256=files.sha256(path),
                seq_length=self._length,
                bytes=len(content),
                task=self._task.name,
                environment=versions.environment([f"CPU (LiteRT, {settings.threads} threads)"]),
                **found,
            ),
            described,
        )

    def _packed(
        self, model: Any, recipe: QuantizationRecipe, folder: ExportFolder, threads: int
    ) -> tuple[bytes, dict[str, Any]]:
        """Return a file of one signature with all that the client reads, and its metadata.

        Args:
          model: of `flatbuffer.read`, which has the length, whatever its output.
        """
        flatbuffer.drop_metadata(model)
        signatures.drop_probabilities(model)
        signatures.keep_one(model, litert.signature(self._length, 1))
        function = self._task.problem.to_probabilities
        signatures.add_probabilities(model, function, packing.OUTPUT)
        inputs = signatures.inputs(model)
        content = flatbuffer.write(model)
        loaded = LiteModel(content, threads, recipe.name)
        described = metadata.of(
            self._run,
            recipe,
            {
                "texts": list(self._task.text_fields),
                "tokenizer": dataclasses.asdict(self._switches),
                "truncation": self._run.config.truncation,
                "vocabulary_sha256": files.sha256(folder.vocabulary),
            },
            [self._length],
            {"inputs": inputs, "output": PROBABILITIES, "batch_sizes": [1]},
            golden.examples(self._preprocessor(self._length), 1, loaded, [self._length]),
        )
        del loaded  # It holds the file a second time.
        model = flatbuffer.read(content)
        packing.add_metadata(model, inputs, described["task"], described["licence"])
        flatbuffer.add_metadata(model, described)
        texts = {
            packing.VOCABULARY_FILE: folder.vocabulary.read_bytes(),
            packing.LABELS_FILE: "".join(f"{one}\n" for one in self._task.problem.labels).encode(),
        }
        return packing.with_texts(flatbuffer.write(model), texts), described

    def _scores(
        self,
        folder: ExportFolder,
        recipe: QuantizationRecipe,
        path: pathlib.Path,
        model: LiteModel,
    ) -> dict[str, Any]:
        """Return what a record says of the scores, by the file in LiteRT and by the client."""
        total = _Total()
        preprocessor = self._preprocessor(self._run.config.seq_length)
        for suffix, name in self._task.scored_splits.items():
            split = batching.tokenize(preprocessor, name, self._examples[name])
            assert isinstance(split.tokens, TokenizedTexts)  # `refusals` has looked at the task.
            texts = list(self._examples[name].texts[0])
            whole = tokenizer.tokenize(self._pieces, texts, self._run.config.seq_length)
            read = tokenizer.tokenize(self._pieces, texts, self._length)
            total.examples += len(split)
            total.split_otherwise += _different(split.tokens, whole)
            total.cut += read.cut
            own = predictions.read(
                folder.predictions_file(recipe.name, name), self._task, len(split)
            ).logits
            layout = Padded(lengths=(self._length,))
            answered = evaluator.predict(model.predict, read, evaluator.EVALUATION_BATCH, layout)
            total.flips += self._flips(own, answered)
            total.metrics |= self._metrics(split, suffix, answered)
            if self._program:
                asked = client.ask(self._program, path, self._task.problem.labels, texts)
                total.add_client(asked, answered)
                total.client_flips += self._flips(own, asked.probabilities)
                total.client_metrics |= self._metrics(split, suffix, asked.probabilities)
        if not self._program:
            total.not_asked = (
                f"no Python with the package mediapipe was named by --client_python, and there is "
                f"no {client.USUAL_PYTHON} ('make clients' builds it)."
            )
        return vars(total)

    def _logits(self, answered: np.ndarray) -> np.ndarray:
        return probabilities.to_logits(self._task.problem.to_probabilities, answered)

    def _flips(self, own: np.ndarray, answered: np.ndarray) -> int:
        return self._task.problem.flips(own, self._logits(answered))

    def _metrics(self, split: Split, suffix: str, answered: np.ndarray) -> dict[str, float]:
        logits, also = self._logits(answered), self._task.problem.always_scored
        scores = metrics.compute(self._task, split.labels, logits, also=also)
        return {f"{name}{suffix}": value for name, value in scores.items()}


def _stem(recipe: QuantizationRecipe) -> str:
    """Return the name of the client's file of a recipe, without the ending."""
    return f"{recipe.name}_{refusals.CLIENT}"


class _Total:
    """Collect what is found over all splits, by the names that `ClientResult` has for it."""

    def __init__(self) -> None:
        self.examples = self.split_otherwise = self.cut = self.flips = self.client_flips = 0
        self.metrics: dict[str, float] = {}
        self.client_metrics: dict[str, float] = {}
        self.client_version = self.not_asked = ""
        self.client_difference = 0.0

    def add_client(self, asked: Answers, answered: np.ndarray) -> None:
        """Take the client's version, and how far its probabilities are from the file's."""
        self.client_version = asked.version
        difference = float(np.max(np.abs(asked.probabilities - answered)))
        self.client_difference = max(self.client_difference, difference)


def _different(own: TokenizedTexts, other: TokenizedTexts) -> int:
    """Count the texts whose word pieces differ."""
    return sum(
        not np.array_equal(own.ids[slice(*mine)], other.ids[slice(*theirs)])
        for mine, theirs in zip(_rows(own), _rows(other), strict=True)
    )


def _rows(tokens: TokenizedTexts) -> zip[tuple[int, int]]:
    return zip(tokens.row_splits[:-1], tokens.row_splits[1:], strict=True)
