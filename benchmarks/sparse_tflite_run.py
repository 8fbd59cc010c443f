"""Program: run one .tflite file on features in a process of its own, and print what it answers.

python benchmarks/sparse_tflite_run.py FILE FEATURES xnnpack|own THREADS

FEATURES is an .npz of int32 arrays by the name of the input. benchmarks/sparse_tflite.py starts it
and reads the line that begins with RUN: JSON with the logits and the file's pieces (0 in LiteRT's
own kernels), or with the reason why LiteRT refuses the file.
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import numpy as np

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export import litert


def main(file: str, features: str, kernels: str, threads: str) -> None:
    content, has_delegate = pathlib.Path(file).read_bytes(), kernels == "xnnpack"
    told: dict[str, Any]
    try:
        model = litert.LiteModel(content, int(threads), "the file", has_delegate)
        told = {"logits": model.predict(dict(np.load(features))).tolist()}
        told["pieces"] = litert.pieces(content, int(threads)) if has_delegate else 0
    except UserError as error:
        told = {"refused": str(error)}
    print("RUN", json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
