"""Program: write the picture of the rooms in docs/architecture.md from the package's imports.

python docs/draw_rooms.py           write it anew (`make docs`)
python docs/draw_rooms.py --check   exit with 1 where the file shows other imports than the code

The picture is Mermaid text, which GitHub draws. An arrow from a room to a lower one means that a
module of the first imports one of the second. An arrow that follows from two others is left out
(the transitive reduction), since fifteen rooms have some seventy of them; the table below the
picture has them all.
"""

from __future__ import annotations

import pathlib
import sys
import tomllib

import grimp

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = "bert_glue_tf"
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms: begin, written by make docs -->", "<!-- rooms: end -->"
COMMANDS = "commands"

Imports = dict[str, set[str]]


def layers() -> list[str]:
    """Return the rooms from the top to the bottom, as the contract of import-linter lists them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    (contract,) = (one for one in contracts if one["type"] == "layers")
    # The first layer holds the commands and the API: they stand in the package's own folder.
    return [COMMANDS, *contract["layers"][1:]]


def room_of(module: str, rooms: list[str]) -> str:
    """Return the room of a module's full name; that of a module outside of all is `commands`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in rooms else COMMANDS


def imports(rooms: list[str]) -> Imports:
    """Return the rooms that each room imports, itself left out."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    found: Imports = {room: set() for room in rooms}
    for module in graph.modules:
        if module == PACKAGE:
            continue
        for imported in graph.find_modules_directly_imported_by(module):
            if imported == PACKAGE:
                continue  # Its version, which every room may read.
            one, other = room_of(module, rooms), room_of(imported, rooms)
            if one != other:
                found[one].add(other)
    return found


def reduced(found: Imports) -> Imports:
    """Return the imports without those that follow from others."""
    reached = {room: set(others) for room, others in found.items()}
    for _ in found:  # As many times as the longest way can be.
        for others in reached.values():
            others |= set().union(*(reached[other] for other in others))
    return {
        room: {
            other
            for other in others
            if not any(other in reached[third] for third in others - {other})
        }
        for room, others in found.items()
    }


def picture(rooms: list[str], found: Imports) -> str:
    """Return the Mermaid text of the picture, and the table of all imports."""
    lines = ["```mermaid", "flowchart TD"]
    lines += [
        f"    {room} --> {other}"
        for room, others in reduced(found).items()
        for other in sorted(others, key=rooms.index)
    ]
    lines += ["```", "", "| room | imports |", "|---|---|"]
    for room in rooms:
        listed = ", ".join(sorted(found[room], key=rooms.index)) or "nothing of ours"
        lines.append(f"| `{room}` | {listed} |")
    return "\n".join(lines)


def page(text: str, drawn: str) -> str:
    """Return the page with the picture in its place.

    Raises:
      ValueError: the page has no such place.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE}: has no lines {BEGIN!r} and {END!r} for the picture.")
    return f"{before}{BEGIN}\n{drawn}\n{END}{after}"


def main() -> int:
    rooms = layers()
    text = PAGE.read_text(encoding="utf-8")
    new = page(text, picture(rooms, imports(rooms)))
    if "--check" in sys.argv[1:]:
        if new != text:
            print(f"{PAGE.name}: shows other imports than the code has. Run: make docs")
            return 1
        return 0
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
