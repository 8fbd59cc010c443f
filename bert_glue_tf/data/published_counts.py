"""Numbers of examples of GLUE's splits, as they are published; another one is warned of.

Source: TFDS's data set `glue` (version 2.0.0), and Hugging Face's `nyu-mll/glue`. They differ in
damaged rows of QQP's training split, and some files of MRPC's have one pair less.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from absl import logging

# Task -> split -> the numbers that are right.
COUNTS: Mapping[str, Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        "cola": {"train": (8551,), "validation": (1043,), "test": (1063,)},
        "sst2": {"train": (67349,), "validation": (872,), "test": (1821,)},
        "mrpc": {"train": (3668, 3667), "validation": (408,), "test": (1725,)},
        "stsb": {"train": (5749,), "validation": (1500,), "test": (1379,)},
        "qqp": {"train": (363849, 363846), "validation": (40430,), "test": (390965,)},
        "mnli": {
            "train": (392702,),
            "validation_matched": (9815,),
            "validation_mismatched": (9832,),
            "test_matched": (9796,),
            "test_mismatched": (9847,),
        },
        "qnli": {"train": (104743,), "validation": (5463,), "test": (5463,)},
        "rte": {"train": (2490,), "validation": (277,), "test": (3000,)},
        "wnli": {"train": (635,), "validation": (71,), "test": (146,)},
        "ax": {"test": (1104,)},
    }
)

# Of QNLI's first version, withdrawn in 2019: about 108,000 training examples and 5,700 others
# (https://arxiv.org/abs/1804.07461v1, table 1).
_QNLI_V1 = {"train": (107_500, 108_500), "validation": (5_650, 5_800), "test": (5_650, 5_800)}


def check(task: str, split: str, examples: int) -> None:
    """Warn of a split that has another number of examples than the published one.

    Args:
      task: name; nothing is known of those outside of GLUE.
      split: as TFDS names it.
      examples: that were read, before any choice among them.
    """
    good = COUNTS.get(task, {}).get(split, ())
    if not good or examples in good:
        return
    low, high = _QNLI_V1.get(split, (0, 0)) if task == "qnli" else (0, 0)
    if low <= examples <= high:
        cause = "QNLI's first version, which was withdrawn"
    else:
        cause = "a file that was cut short" if examples < good[0] else "a file that was changed"
    logging.warning(
        "%s has %s examples in its %s split, and the published one has %s. It may be %s: scores "
        "do not compare with published ones.",
        task,
        f"{examples:,}",
        split,
        f"{good[0]:,}",
        cause,
    )
