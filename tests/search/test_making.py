"""The measurement of costs on a tiny network, killed while files are made and while timed."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil

import pytest
from messages import refuses
from slow_fixtures import slow_to_make

from bert_glue_tf.core import locks
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export import convert
from bert_glue_tf.models import imported
from bert_glue_tf.search import costs, making, small_files
from bert_glue_tf.search.costs import CURVES
from bert_glue_tf.search.design import Design, Small
from bert_glue_tf.search.small_files import SmallFiles

RECIPES, LENGTH = ("dynamic_int8", "int4"), 8
# Of one layer of 2 heads and 32 neurons: what takes the least to tell all costs apart.
NETWORKS = (
    Small(((0, 0),)),
    Small(((0, 0),), 2000),
    Small(((2, 0),)),
    Small(((0, 32),)),
    Small(((2, 32),)),
)
DESIGN = Design(
    NETWORKS,
    {
        **dict.fromkeys(CURVES, ()),
        "last_attention": (2,),
        "last_feed_forward": (32,),
        "pieces": (2000,),
    },
    1,
)


class Interrupted(KeyboardInterrupt):
    """Stands for a kill."""


@pytest.fixture(scope="module")
@slow_to_make
def measured(exported, tmp_path_factory):
    """Tables that took three processes: what each converted and timed, and what was kept then."""
    run, cache, told = exported[0], tmp_path_factory.mktemp("costs"), []
    converted: list[str] = []
    timed: list[str] = []
    ends = {"convert": 3, "time": 2}  # The third conversion and the second session are killed.

    def once(name, calls, original, shown):
        def wrapped(*arguments, **options):
            if len(calls) + 1 == ends.get(name):
                del ends[name]
                raise Interrupted(name)
            found = original(*arguments, **options)
            calls.append(shown(*arguments))
            return found

        return wrapped

    def measure():
        return making.tables(run, RECIPES, length=LENGTH, threads=1, cache=cache)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Design, "of", lambda sizes: DESIGN)
        patch.setattr(making, "_SECONDS", 0.1)
        patch.setattr(making, "_REPETITIONS", (3, 3))
        converting = once("convert", converted, convert.convert_module, lambda *given: given[2])
        patch.setattr(convert, "convert_module", converting)
        timing = once("time", timed, making._timed, lambda files, *_: recipe_of(files))
        patch.setattr(making, "_timed", timing)
        for name in ("convert", "time"):
            with pytest.raises(Interrupted, match=name):
                measure()
            told.append((len(converted), len(timed), sorted(p.name for p in cache.iterdir())))
        found = measure()
        told.append((len(converted), len(timed), sorted(p.name for p in cache.iterdir())))
        again = measure()
        told.append((len(converted), len(timed), []))
    assert {name: one.rest for name, one in again.items()} == {
        name: one.rest for name, one in found.items()
    }
    return run, cache, found, converted, timed, told


def recipe_of(files):
    """Return the recipe whose small files these are."""
    (folder,) = {path.parent.name for path in files.values()}
    return next(name for name in RECIPES if f"-{name}-" in folder)


def test_nothing_is_made_or_timed_twice(measured):
    *_, converted, timed, told = measured
    assert converted == [f"a network of {one.widths}" for one in NETWORKS]
    assert timed == list(RECIPES)
    # Two of five files before the first kill; all and one table before the second.
    assert [one[:2] for one in told] == [(2, 0), (5, 1), (5, 2), (5, 2)]


def test_a_kill_leaves_what_is_done_and_the_end_leaves_the_tables_alone(measured):
    run, cache, *_, told = measured
    names = {name: making.key_of(run, name, LENGTH, 1).file_name for name in RECIPES}
    folders = {name: f"{pathlib.PurePath(file).stem}.making" for name, file in names.items()}
    first, second = RECIPES
    assert told[0][2] == sorted(folders.values())
    assert told[1][2] == sorted([names[first], folders[second]])
    assert told[2][2] == sorted(names.values()) == sorted(path.name for path in cache.iterdir())


def test_the_tables_are_those_of_the_files(measured):
    run, cache, found, *_ = measured
    width = making.key_of(run, RECIPES[0], LENGTH, 1).shape["hidden_size"]
    for name, share in {"dynamic_int8": 1.0, "int4": 0.5}.items():
        table = found[name]
        assert costs.read(cache, making.key_of(run, name, LENGTH, 1)).rest == list(table.rest)
        assert table.rest[1] > 0  # Milliseconds.
        # A row of the word embeddings is of int8 in both: its integers, a scale and a zero point.
        row = (table.pieces(2000).bytes - table.pieces(1000).bytes) / 1000
        assert width <= row <= width + 16
        # The kernels of four products of the attention, and of two of the feed-forward block.
        assert table.block("attention", 2, True).bytes >= 4 * width * width * share * 0.9
        assert table.block("feed_forward", 32, True).bytes >= 2 * 32 * width * share * 0.9


def test_a_file_is_timed_in_turns_with_parts_that_are_made_again(measured, monkeypatch):
    run, cache, found, *_ = measured
    kept = sorted(cache.iterdir())
    monkeypatch.setattr(Design, "of", lambda sizes: DESIGN)
    monkeypatch.setattr(making, "_SECONDS_BESIDE", 0.1)
    monkeypatch.setattr(making, "_REPETITIONS", (3, 3))
    monkeypatch.setattr(imported, "cache_root", None)  # No cache is asked.
    file = run.path / "tflite" / "float32.tflite"
    there = sorted(file.parent.iterdir())
    again = making.beside(run, RECIPES, file, length=LENGTH, threads=1, lengths=(LENGTH, 12))
    assert again.ms > 0
    assert list(again.tables) == list(RECIPES)
    for name, table in again.tables.items():
        assert table.rest[0] > found[name].rest[0]  # Bytes, of one length more.
        assert table.rest[1] > 0
        assert table.of_what == dataclasses.replace(found[name].of_what, lengths=(LENGTH, 12))
    assert (sorted(cache.iterdir()), sorted(file.parent.iterdir())) == (kept, there)


def test_a_folder_in_which_no_small_files_can_be_made_is_named(measured, monkeypatch, tmp_path):
    run, *_ = measured
    monkeypatch.setattr(Design, "of", lambda sizes: DESIGN)
    with refuses(UserError, tmp_path / "gone", "cannot be written", "Make room there"):
        making.beside(run, RECIPES, tmp_path / "gone" / "a.tflite", length=LENGTH, threads=1)


def test_files_that_another_process_is_making_are_left_to_it(exported, tmp_path):
    key = making.key_of(exported[0], "int4", LENGTH)
    with SmallFiles.opened(tmp_path, key) as first, SmallFiles.opened(tmp_path, key) as second:
        first.write(NETWORKS[0], b"first")
        assert not second.has(NETWORKS[0])
        second.write(NETWORKS[0], b"second")
        second.remove()
        assert first.path(NETWORKS[0]).read_bytes() == b"first"
    assert locks.is_free(first.path(NETWORKS[0]).parent / ".lock")
    with SmallFiles.opened(tmp_path, key) as later:
        assert later.has(NETWORKS[0])
        assert not later.has(NETWORKS[1])


def test_costs_that_were_timed_in_another_way_are_measured_anew(measured, tmp_path, caplog):
    run, cache, *_ = measured
    key = making.key_of(run, "int4", LENGTH, 1)
    shutil.copy(cache / key.file_name, tmp_path)
    assert costs.read(tmp_path, key) is not None
    line = json.loads((cache / key.file_name).read_text())
    del line["key"]["way"]  # As those of before there was one.
    (tmp_path / key.file_name).write_text(json.dumps(line))
    assert costs.read(tmp_path, key) is None
    other = dataclasses.replace(key, way="another")
    assert other.file_name != key.file_name


def test_a_cache_that_cannot_be_written_is_told_of(exported, tmp_path):
    (tmp_path / "file").touch()
    key = making.key_of(exported[0], "int4", LENGTH)
    with refuses(UserError, tmp_path / "file", "BERT_GLUE_TF_CACHE"):
        with SmallFiles.opened(tmp_path / "file", key):
            pass
    assert "No space left" in str(small_files.unwritable(tmp_path, OSError(28, "No space left")))
