"""One classifier in each runtime: PyTorch, ONNX Runtime, OpenVINO, and our own files.

Every runtime gets the tools that its own documentation names for BERT on a CPU, the same number
of threads, and one example at a time. Every model is written to disk, for its size; ONNX
Runtime, OpenVINO and LiteRT run it from there.
"""

from __future__ import annotations

import contextlib
import json
import logging as std_logging
import os
import pathlib
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from peer import FLOAT32, OURS, Features, Peer

from bert_glue_tf.core import quiet
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.export.litert import LiteModel

# Two threads that wait for each other by spinning stand still while another program has one of
# their cores: on 2 cores with other work, PyTorch's float32 model took 202 ms (p50 at length 32)
# spinning and 12.5 ms sleeping. Read when PyTorch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# OpenVINO and NNCF report their use over the network; without this module both do not.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

try:
    import nncf
    import onnx
    import onnxruntime
    import openvino
    import torch
    import torch_bert
    from onnxruntime import quantization
    from peer_inputs import PeerInputs
except ImportError as missing:
    raise UserError(
        f"{missing}. This benchmark has its own environment: give `make bench-peers RUN=...`."
    ) from None

OUR_RECIPES = (FLOAT32, "dynamic_int8", "int8")
LIBRARIES = {
    "PyTorch": "torch",
    "ONNX Runtime": "onnxruntime",
    "OpenVINO": "openvino",
    OURS: "ai-edge-litert",
}
# Beside those: what made the files.
TOOLS = ("onnx", "onnxscript", "nncf", "numpy")


class Builder:
    """Makes the peers of one run, float32 before quantized.

    Args:
      inputs: weights and calibration sentences.
      folder: for the files that are made.
      export: the folder of our own files.
      threads: for every runtime.
      lengths: at which the peers will be timed, ascending.

    Raises:
      UserError: our files are missing, are of other weights, or cannot run at these lengths.
    """

    def __init__(
        self,
        inputs: PeerInputs,
        folder: pathlib.Path,
        export: ExportFolder,
        threads: int,
        lengths: Sequence[int],
    ) -> None:
        self._inputs, self._folder = inputs, folder
        self._threads, self._lengths = threads, lengths
        folder.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(threads)
        self._torch = torch_bert.build(inputs.architecture, inputs.weights)
        self._openvino: Any = None
        self._ours = self._litert_peers(export)

    def float32(self) -> Iterator[Peer]:
        """The unquantized peers, PyTorch first: two others are made from it."""
        yield self._torch_peer(FLOAT32, self._torch)
        with _quiet():
            self._export_onnx()
        yield self._onnx_peer(FLOAT32, self._onnx_file(FLOAT32))
        with _quiet():
            self._openvino = self._convert_to_openvino()
        # Where the processor has it, OpenVINO computes float32 in bfloat16 unless told not to.
        yield self._openvino_peer(FLOAT32, self._openvino, {"INFERENCE_PRECISION_HINT": "f32"})
        yield self._ours[0]

    def quantized(self) -> Iterator[Peer]:
        """All the others; `float32` has to be run through before."""
        # PyTorch and ONNX Runtime get a scale for each row of a matrix, as our files have. With
        # their default, one for the whole matrix, PyTorch changed 76 of CoLA's 1,043 labels
        # instead of 55, ONNX Runtime moved the logits twice as far, and nothing was faster.
        with _quiet():
            dynamic = torch.ao.quantization.quantize_dynamic(
                self._torch, {torch.nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig}
            )
        engine = torch.backends.quantized.engine
        yield self._torch_peer("dynamic int8", dynamic, {"engine": engine, "per_channel": True})
        settings = {"weight_type": "QInt8", "per_channel": True}
        with _quiet():
            quantization.quantize_dynamic(
                self._onnx_file(FLOAT32),
                self._onnx_file("int8"),
                weight_type=quantization.QuantType.QInt8,
                per_channel=True,
            )
        yield self._onnx_peer("dynamic int8", self._onnx_file("int8"), settings)
        tokens = self._inputs.calibration
        sentences = [tokens.batch([i], int(n)) for i, n in enumerate(tokens.lengths)]
        with _quiet():
            static = nncf.quantize(
                self._openvino,
                nncf.Dataset(sentences),
                model_type=nncf.ModelType.TRANSFORMER,
                subset_size=len(sentences),
            )
        yield self._openvino_peer(
            "static int8",
            static,
            {},
            {"model_type": "TRANSFORMER", "calibration_examples": len(sentences)},
        )
        yield from self._ours[1:]

    # --- PyTorch ---

    def _torch_peer(
        self, recipe: str, model: torch.nn.Module, settings: Mapping[str, Any] | None = None
    ) -> Peer:
        file = self._folder / f"torch_{_kind(recipe)}.pt"
        torch.save(model.state_dict(), file)

        def predict(features: Features) -> np.ndarray:
            with torch.inference_mode():
                return model(*(torch.from_numpy(features[name]) for name in INPUTS)).numpy()

        return Peer("PyTorch", recipe, file.stat().st_size, predict, settings=settings or {})

    # --- ONNX Runtime ---

    def _onnx_file(self, kind: str) -> pathlib.Path:
        return self._folder / f"onnx_{kind}.onnx"

    def _export_onnx(self) -> None:
        file = self._onnx_file(FLOAT32)
        example = self._inputs.dev.batch([0], int(self._inputs.dev.lengths[0]))
        length = torch.export.Dim("length", min=2, max=self._inputs.architecture.positions)
        torch.onnx.export(
            self._torch,
            tuple(torch.from_numpy(example[name]) for name in INPUTS),
            str(file),
            input_names=list(INPUTS),
            output_names=["logits"],
            dynamic_shapes=tuple({1: length} for _ in INPUTS),
            external_data=False,
            dynamo=True,
            verbose=False,
        )
        # The exporter notes a shape for each transposed weight that its own optimizer has
        # turned since, and `quantize_dynamic` stops at the first.
        model = onnx.load(file)
        del model.graph.value_info[:]
        onnx.save(model, file)

    def _onnx_peer(
        self, recipe: str, file: pathlib.Path, settings: Mapping[str, Any] | None = None
    ) -> Peer:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Else its idle threads keep a core busy while the next runtime is timed.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
        return Peer(
            "ONNX Runtime",
            recipe,
            file.stat().st_size,
            lambda features: session.run(["logits"], dict(features))[0],
            settings=settings or {},
        )

    # --- OpenVINO ---

    def _convert_to_openvino(self) -> Any:
        example = self._inputs.dev.batch([0], int(self._inputs.dev.lengths[0]))
        return openvino.convert_model(
            self._torch,
            example_input={name: torch.from_numpy(example[name]) for name in INPUTS},
            input=[(name, [1, -1], openvino.Type.i32) for name in INPUTS],
        )

    def _openvino_peer(
        self,
        recipe: str,
        model: Any,
        properties: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
    ) -> Peer:
        file = self._folder / f"openvino_{_kind(recipe)}.xml"
        # By default it saves float32 weights as float16.
        openvino.save_model(model, file, compress_to_fp16=False)
        core = openvino.Core()
        properties = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": 1,
            **properties,
        }

        def compiled(length: int) -> Any:
            read = core.read_model(file)
            if length > 0:
                read.reshape({name: [1, length] for name in INPUTS})
            return core.compile_model(read, "CPU", properties)

        # It knows more of a model whose shape is fixed, as our signatures' are.
        models = {length: compiled(length) for length in (*self._lengths, -1)}
        requests = {length: model.create_infer_request() for length, model in models.items()}

        def predict(features: Features) -> np.ndarray:
            length = features[INPUTS[0]].shape[1]
            request = requests.get(length, requests[-1])
            return request.infer(dict(features), share_inputs=True)[0].copy()

        precision = models[-1].get_property("INFERENCE_PRECISION_HINT").get_type_name()
        return Peer(
            "OpenVINO",
            recipe,
            file.stat().st_size + file.with_suffix(".bin").stat().st_size,
            predict,
            settings={"inference_precision": precision, **(settings or {})},
        )

    # --- our files ---

    def _litert_peers(self, export: ExportFolder) -> list[Peer]:
        records = export.records()
        if FLOAT32 not in records:
            raise UserError(
                f"--tflite={export.path}: holds no whole float32.tflite with its record. Give the "
                "folder that `python -m bert_glue_tf.export_tflite --run=RUN` wrote."
            )
        _require_same_weights(export, self._inputs)
        has = records[FLOAT32].seq_lengths
        lacking = [length for length in self._lengths if length not in has]
        if lacking:
            raise UserError(
                f"--lengths={','.join(map(str, self._lengths))}: our files cannot run at "
                f"{lacking[0]}. Good: some of {', '.join(map(str, has))}, or another export."
            )
        peers = []
        for recipe in OUR_RECIPES:
            if recipe in records:
                file = export.model(recipe)
                model = LiteModel.load(file, self._threads)
                size = file.stat().st_size
                peers.append(Peer(OURS, recipe, size, model.predict, model.lengths))
        return peers


def _kind(recipe: str) -> str:
    return FLOAT32 if recipe == FLOAT32 else "int8"


def _require_same_weights(export: ExportFolder, inputs: PeerInputs) -> None:
    try:
        settings = json.loads(export.settings_file.read_text(encoding="utf-8"))
        exported = settings["weights_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{export.settings_file}: not the settings of an export ({error})."
        ) from None
    if exported != inputs.weights_sha256:
        raise UserError(
            f"--tflite={export.path}: made from other weights (SHA-256 {exported[:12]}...) than "
            f"those of {inputs.run} ({inputs.weights_sha256[:12]}...). Export the run again."
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporters' progress bars, notes and warnings off the user's terminal."""
    with quiet.native_output(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        std_logging.disable(std_logging.WARNING)
        try:
            yield
        finally:
            std_logging.disable(std_logging.NOTSET)
