"""The flags of `compress` that are read before the run is."""

from __future__ import annotations

import subprocess
import sys

from messages import refused


def test_workers_beside_a_cluster_are_said_not_to_be_used():
    command = [sys.executable, "-m", "bert_glue_tf.compress", "--run=nowhere", "--max_mb=6"]
    done = subprocess.run(
        [*command, "--workers=2", "--cluster=nonsense"], capture_output=True, text=True, check=False
    )
    refused(done, "nonsense")
    assert "--workers: not used" in done.stderr
