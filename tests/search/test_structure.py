"""A structure as a file, and what is none."""

from __future__ import annotations

import json

import pytest
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.search.structure import Sizes, Structure

STRUCTURE = Structure(((0, 2), ()), ((1,), (0, 3, 5)), (0, 1, 7))


def test_it_comes_back_from_its_file(tmp_path):
    STRUCTURE.save(tmp_path / "structure.json")
    assert Structure.load(tmp_path / "structure.json") == STRUCTURE
    assert STRUCTURE.sizes == Sizes((2, 0), (1, 3), 3)
    assert STRUCTURE.sizes.widths == ((2, 1), (0, 3))


@pytest.mark.parametrize(
    "changes",
    [
        {"heads": [[0, 2]]},
        {"heads": [[2, 0], []]},
        {"neurons": [[1], [3, 3]]},
        {"pieces": [-1, 0]},
        {"pieces": "all"},
        {"more": 1},
    ],
)
def test_what_is_none_is_refused(tmp_path, changes):
    path = tmp_path / "structure.json"
    path.write_text(json.dumps({**STRUCTURE.to_json(), **changes}))
    with refuses(UserError, path):
        Structure.load(path)
