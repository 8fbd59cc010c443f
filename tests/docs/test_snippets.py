"""Every code block of the README and of docs/ runs as it stands, in a fresh folder.

A page's folder is a checkout after `make demo`. Its commands run in their order, through
`tests/programs/shrunk.py`, which takes a tiny encoder and a few examples and says what it only
checks. In place of `/folder/with/glue`, where a reader has GLUE's files, stand small ones.
"""

from __future__ import annotations

import os
import pathlib
import shutil

import pages
import pytest
import snippet_shell

from bert_glue_tf.data import sample

ROOT = pages.ROOT
# What a checkout has; the rest of a page's folder is made by its commands.
CHECKOUT = (
    *("Makefile", "setup.cfg", "constraints.txt", "pyproject.toml"),
    *("bert_glue_tf", "configs", "benchmarks", "tests"),
)
PAGES = [path for path in pages.paths() if any(b.language in pages.RUN for b in pages.blocks(path))]


def test_every_block_says_its_language():
    found = [block for path in pages.paths() for block in pages.blocks(path)]
    assert len(found) > 30
    assert [(b.page, b.line) for b in found if b.language not in pages.LANGUAGES] == []


def test_a_block_and_the_reason_why_it_is_not_run_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("A\n\n```sh\nls\n```\n\n<!-- not run: an hour -->\n```python\n1 / 0\n```\n")
    first, second = pages.blocks(page)
    assert first == pages.Block("page.md", 4, "sh", "ls\n", "")
    assert second == pages.Block("page.md", 9, "python", "1 / 0\n", "an hour")


def _write_glue(folder: pathlib.Path) -> pathlib.Path:
    """Write CoLA's, MRPC's and SST-2's files of a few sentences each, as GLUE has them."""
    mrpc_head = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"
    for task, name, head, row in (
        ("cola", "CoLA", "", lambda i, texts, label: f"s\t{label}\t\t{texts[0]}"),
        ("sst2", "SST-2", "sentence\tlabel", lambda i, texts, label: f"{texts[0]}\t{label}"),
        (
            "mrpc",
            "MRPC",
            mrpc_head,
            lambda i, texts, label: f"{label}\t{i}\t{i}\t{texts[0]}\t{texts[1]}",
        ),
    ):
        (folder / name).mkdir(parents=True)
        for split, file in (("train", "train.tsv"), ("validation", "dev.tsv")):
            rows = sample.examples(task, split)[:40]
            lines = [head] * bool(head) + [row(i, *one) for i, one in enumerate(rows)]
            (folder / name / file).write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, head, row in (
        ("CoLA", "index\tsentence", "{}\tThe cat sat."),
        ("SST-2", "index\tsentence", "{}\ta good film"),
    ):
        lines = [head, *(row.format(i) for i in range(5))]
        (folder / name / "test.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def glue(tmp_path_factory):
    return _write_glue(tmp_path_factory.mktemp("glue"))


@pytest.fixture(scope="module")
def shell():
    with snippet_shell.opened("shrunk.py") as opened:
        yield opened


def _write_own(folder: pathlib.Path) -> None:
    """Write train.csv and new.csv, a reader's own texts with labels and without."""
    rows = [f'"{texts[0]}",{label}' for texts, label in sample.examples("sst2", "train")[:40]]
    (folder / "train.csv").write_text("\n".join(["text,label", *rows, ""]), encoding="utf-8")
    (folder / "new.csv").write_text("id,text\n7,a good film\n8,a dull one\n", encoding="utf-8")


def _checkout(folder: pathlib.Path, shell: snippet_shell.Shell, encoder: str) -> dict[str, str]:
    """Make a folder look like a checkout with its environment; return the shell's variables."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in CHECKOUT:
        (folder / name).symlink_to(ROOT / name)
    _write_own(folder)
    programs = folder / ".venv" / "bin"
    shell.write_python(programs)
    (folder / ".venv" / ".installed").touch()  # Or make would build the environment anew.
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "TINY_ENCODER": encoder,
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _run(
    block: pages.Block,
    folder: pathlib.Path,
    shell: snippet_shell.Shell,
    environment: dict[str, str],
    glue: pathlib.Path,
) -> str:
    """Run a block and return its output; fail with it where the block failed."""
    code = block.code.replace("/folder/with/glue", str(glue))
    if block.language == "python":
        (folder / "block.py").write_text(code, encoding="utf-8")
        code = "python block.py"
    done = shell.run(code, folder, environment)
    assert done.returncode == 0, f"{block.page}:{block.line}\n{block.code}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def demo(tiny_encoder, shell, glue, tmp_path_factory) -> pathlib.Path:
    """The folder runs/demo that `make demo` leaves."""
    folder = tmp_path_factory.mktemp("demo") / "checkout"
    environment = _checkout(folder, shell, tiny_encoder)
    block = pages.Block("Makefile", 1, "sh", "make demo\n", "")
    output = _run(block, folder, shell, environment, glue)
    assert "matthews" in output
    assert "int4" in output
    return folder / "runs" / "demo"


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_blocks_of_a_page_run(path, demo, shell, glue, tiny_encoder, tmp_path):
    environment = _checkout(tmp_path / "checkout", shell, tiny_encoder)
    shutil.copytree(demo, tmp_path / "checkout" / "runs" / "demo")
    ran, left_out = 0, []
    for block in pages.blocks(path):
        if block.language in pages.RUN and block.reason:
            left_out.append(f"{block.page}:{block.line} is not run: {block.reason}")
        elif block.language in pages.RUN:
            _run(block, tmp_path / "checkout", shell, environment, glue)
            ran += 1
    if not ran:
        pytest.skip("; ".join(left_out))
