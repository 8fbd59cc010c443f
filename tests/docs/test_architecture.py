"""docs/architecture.md shows the rooms and the imports that the code has."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = ROOT / "bert_glue_tf"


def test_the_picture_shows_the_imports_of_the_code():
    command = [sys.executable, "docs/draw_rooms.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


def test_every_room_stands_in_the_contract_and_on_the_page():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    (contract,) = (one for one in contracts if one["type"] == "layers")
    assert set(contract["layers"][1:]) == rooms
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert [room for room in sorted(rooms) if f"`{room}/`" not in page] == []
