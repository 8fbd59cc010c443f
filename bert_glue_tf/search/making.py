"""The making of a cost table: small networks that are converted, quantized and timed in turns.

`design` says which they are, and what their files tell. All files of a recipe are timed in one
session (`timing`), so that whatever else the machine does meets all of them alike. Each file is
kept as soon as it is made (`small_files`), and each table as soon as its files were timed, so that
the measurement goes on where it was killed.

A machine does not always run at one pace. Where two threads work on a network of few weights, most
of the time is that in which one waits for the other, and on virtual processors that changes from
minute to minute by a factor of two, while one thread alone is as fast as before. `beside` times
the parts once more, in one session with a file, and so tells a wrong prediction from another pace.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
import tempfile
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
from absl import logging

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import reason
from bert_glue_tf.core.progress import Bar, duration
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.export import convert, quantize, selection
from bert_glue_tf.export.defaults import THREADS
from bert_glue_tf.models import imported, saving
from bert_glue_tf.models.backbone import Backbone
from bert_glue_tf.models.quantization import grids, recipes
from bert_glue_tf.models.quantization.recipes import QuantizationRecipe
from bert_glue_tf.runs import versions
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.search import costs, small_files, timing
from bert_glue_tf.search.costs import CostTable, Key
from bert_glue_tf.search.design import Design, Small
from bert_glue_tf.search.small_files import SmallFiles

FOLDER = "costs"  # In the user's cache.
_SECONDS = 20.0  # That the files of a recipe are timed for.
_SECONDS_BESIDE = 10.0  # That they are timed for once more, with the file that is predicted.
_REPETITIONS = (30, 300)  # At least and at most.
_CALIBRATION = 4  # Random texts that give activations some range: it changes no time.

_Name = TypeVar("_Name", bound=Hashable)


@dataclasses.dataclass(frozen=True)
class Beside:
    """The costs of parts, and the time of a file, of one session.

    Attributes:
      tables: recipe -> the costs.
      ms: milliseconds of the file.
      busy: warning that others kept the machine at work; empty where they did not.
    """

    tables: Mapping[str, CostTable]
    ms: float
    busy: str


def key_of(
    run: Run, recipe: str, length: int, threads: int = THREADS, lengths: Sequence[int] = ()
) -> Key:
    """Return the facts that decide the table of a run.

    Args:
      run: a finished one.
      recipe: of the file.
      length: in word pieces, that is timed.
      threads: of LiteRT.
      lengths: that the file has, `length` among them; none for that one alone.

    Raises:
      UserError: there is no such recipe, the encoder has no such length, or its blocks cannot be
        told apart.
    """
    recipes.get(recipe)
    sizes = saving.family_of(run.folder.model).sizes(run.folder.model)
    for one in (length, *lengths):
        if not 1 <= one <= sizes.positions:
            raise UserError(
                f"--at_length={one}: the encoder of {run.path} reads 1 to {sizes.positions} word "
                "pieces."
            )
    largest = {
        "heads": max(layer.heads for layer in sizes.layers),
        "head_size": max(layer.head_size for layer in sizes.layers),
        "neurons": max(layer.neurons for layer in sizes.layers),
        "layers": len(sizes.layers),
    }
    installed = versions.installed(versions.QUANTIZER)
    return Key(
        recipe=recipe,
        length=length,
        lengths=tuple(sorted({length, *lengths})),
        threads=threads,
        machine=versions.machine(),
        versions={name: installed[name] for name in versions.QUANTIZER},
        shape={**largest, **sizes.same},
        way=timing.WAY,
    )


def tables(
    run: Run,
    names: Sequence[str],
    *,
    length: int,
    threads: int = THREADS,
    lengths: Sequence[int] = (),
    cache: pathlib.Path | None = None,
) -> dict[str, CostTable]:
    """Return the costs of the parts of a run's network, measured now where no cache has them.

    Args:
      run: a finished one.
      names: of the recipes.
      length: in word pieces, that is timed.
      threads: of LiteRT.
      lengths: that the files have, as in `key_of`.
      cache: folder of the tables; None for the user's own.

    Returns:
      Recipe -> its table.

    Raises:
      UserError: as `key_of`; or the cache cannot be written.
    """
    folder = imported.cache_root() / FOLDER if cache is None else cache
    keys = {name: key_of(run, name, length, threads, lengths) for name in names}
    found = {name: costs.read(folder, key) for name, key in keys.items()}
    lacking = [recipes.get(name) for name, table in found.items() if table is None]
    if lacking:
        for made in _make(run, lacking, keys, folder):
            try:
                path = costs.write(folder, made)
            except OSError as error:
                raise small_files.unwritable(folder, error) from None
            logging.info("costs of %s: measured, and kept in %s", made.of_what.recipe, path)
            costs.tell_busy(path, made)
            found[made.of_what.recipe] = made
    return {name: table for name, table in found.items() if table is not None}


def beside(
    run: Run,
    names: Sequence[str],
    file: pathlib.Path,
    *,
    length: int,
    threads: int = THREADS,
    lengths: Sequence[int] = (),
) -> Beside:
    """Return the costs of the parts of a run's network, timed in turns with a file.

    The small files are made anew and not kept, and no cache is read.

    Args:
      run: a finished one.
      names: of the recipes.
      file: whose time is predicted by these costs; the small files lie beside it meanwhile.
      length: in word pieces, that is timed.
      threads: of LiteRT.
      lengths: that the files have, as in `key_of`.

    Raises:
      UserError: as `key_of`; or the file's folder cannot be written.
    """
    keys = {name: key_of(run, name, length, threads, lengths) for name in names}
    family = saving.family_of(run.folder.model)
    design = Design.of(family.sizes(run.folder.model))
    logging.info(
        "%s is timed in turns with the parts of its network as %s: %d small files are made again",
        file,
        " and ".join(names),
        len(names) * len(design.networks),
    )
    begin, refusal = time.perf_counter(), functools.partial(_refusal, file.parent)
    try:
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".parts-") as folder:
            files = {name: SmallFiles(pathlib.Path(folder) / name, refusal) for name in names}
            for name in names:
                (pathlib.Path(folder) / name).mkdir()
            wanted, exported = [recipes.get(name) for name in names], keys[names[0]].lengths
            _make_files(family, run.folder.model, design, wanted, exported, files)
            paths: dict[tuple[str, Small | None], pathlib.Path] = {("", None): file}
            for name in names:
                paths |= {(name, network): files[name].path(network) for network in design.networks}
            measured, busy = _timed(paths, length, threads, _SECONDS_BESIDE)
    except OSError as error:
        raise refusal(error) from None
    seconds = round(time.perf_counter() - begin, 1)
    tables = {
        name: CostTable(
            key=dataclasses.asdict(key),
            busy=busy,
            seconds=seconds,
            **design.table({network: measured[name, network] for network in design.networks}),
        )
        for name, key in keys.items()
    }
    return Beside(tables, measured["", None][1], busy)


def _refusal(folder: pathlib.Path, error: OSError) -> UserError:
    """Return the error of a folder in which no small files can be made beside a file."""
    return UserError(
        f"{folder}: cannot be written ({reason(error)}), and a file there is to be timed in turns "
        "with small ones beside it. Make room there or change its rights, and give the same "
        "command again."
    )


def _make(
    run: Run, lacking: Sequence[QuantizationRecipe], keys: Mapping[str, Key], cache: pathlib.Path
) -> Iterator[CostTable]:
    """Measure the tables of some recipes, whose networks are converted once.

    The small files of a table are deleted when the next one is asked for, since it is kept then.
    """
    begin, folder = time.perf_counter(), run.folder.model
    family = saving.family_of(folder)
    design = Design.of(family.sizes(folder))
    length, lengths = keys[lacking[0].name].length, keys[lacking[0].name].lengths
    logging.info(
        "costs of a network's parts at length %d: %d small files for each of %s are made and run",
        length,
        len(design.networks),
        ", ".join(recipe.name for recipe in lacking),
    )
    with contextlib.ExitStack() as stack:
        files = {
            recipe.name: stack.enter_context(SmallFiles.opened(cache, keys[recipe.name]))
            for recipe in lacking
        }
        _make_files(family, folder, design, lacking, lengths, files)
        making = (time.perf_counter() - begin) / len(lacking)
        for recipe in lacking:
            own, key = files[recipe.name], keys[recipe.name]
            begin = time.perf_counter()
            paths = {network: own.path(network) for network in design.networks}
            measured, busy = _timed(paths, length, key.threads, _SECONDS)
            yield CostTable(
                key=dataclasses.asdict(key),
                busy=busy,
                seconds=round(making + time.perf_counter() - begin, 1),
                **design.table(measured),
            )
            own.remove()


def _make_files(
    family: type[Backbone],
    folder: pathlib.Path,
    design: Design,
    wanted: Sequence[QuantizationRecipe],
    lengths: Sequence[int],
    files: Mapping[str, SmallFiles],
) -> None:
    """Make the files that an earlier process has not made; `files` is recipe -> its files."""
    networks, begin, made = design.networks, time.perf_counter(), 0
    with Bar(len(networks), "small networks") as bar:
        for number, network in enumerate(networks, start=1):
            lacking = [recipe for recipe in wanted if not files[recipe.name].has(network)]
            if lacking:
                graph = family.sized(folder, network.widths, network.pieces)
                plain = convert.convert_module(graph, lengths, f"a network of {network.widths}")
                for recipe in lacking:
                    content = quantized(plain, recipe, lengths[-1], network.pieces)
                    files[recipe.name].write(network, content)
                made += 1
            left = (time.perf_counter() - begin) / max(1, made) * (len(networks) - number)
            bar.show(number, f"{duration(left)} left")


def quantized(plain: bytes, recipe: QuantizationRecipe, length: int, pieces: int) -> bytes:
    """Return a file of random weights in a recipe.

    Of a recipe that selects its operators by what each of them loses, which random weights cannot
    tell, it is the file of a training for that recipe.

    Args:
      plain: float32 file.
      recipe: of the file.
      length: the longest that it has.
      pieces: rows of its word embeddings.
    """
    # Blocks divide all widths of a file: those that divide most structures' count for all of them.
    rules = [
        dataclasses.replace(rule, block=min(rule.block, grids.BLOCKS[0]))
        for rule in recipe.imitated
    ]
    if not any(rule.activation_bits for rule in rules):
        return quantize.quantize(plain, rules)
    ids = np.random.default_rng(0).integers(0, pieces, (_CALIBRATION, 1, length)).astype(np.int32)
    ones = np.ones((1, length), np.int32)
    texts = [dict(zip(INPUTS, (one, ones, 0 * ones), strict=True)) for one in ids]
    return quantize.quantize(plain, rules, selection.extremes(plain, length, texts))


def _timed(
    files: Mapping[_Name, pathlib.Path], length: int, threads: int, seconds: float
) -> tuple[dict[_Name, tuple[float, float]], str]:
    """Time the files in turns: name -> bytes and milliseconds; a warning where others worked.

    What the milliseconds are: `timing.in_turns`.
    """
    milliseconds, busy = timing.in_turns(
        list(files.values()), length, threads, seconds, _REPETITIONS
    )
    measured = {
        one: (float(path.stat().st_size), ms)
        for (one, path), ms in zip(files.items(), milliseconds, strict=True)
    }
    return measured, busy
