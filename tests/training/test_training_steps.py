"""The parts of benchmarks/training_steps.py and first_step.py that count and name."""

import importlib
import pathlib
import types

import pytest

from tests.support import tiny_bert

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmarks():
    """The modules of benchmarks/, which is no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        names = ("first_step", "training_products", "training_steps")
        return types.SimpleNamespace(**{name: importlib.import_module(name) for name in names})


def test_the_products_of_a_step_are_those_of_bert_and_their_gradients(benchmarks):
    shapes = tiny_bert.architecture()
    tokens, hidden, inner = 3 * 5, shapes.hidden_size, shapes.inner_dim
    layer = 4 * tokens * hidden**2 + 2 * tokens * hidden * inner + 2 * 3 * 5 * 5 * hidden
    counts = benchmarks.training_products.of_step(shapes, benchmarks.training_products.Shape(3, 5))
    # Two operations each; the gradients of both factors take as many as the product.
    assert sum(one.operations * n for one, n in counts.items()) == 2 * 3 * shapes.layers * layer


def test_the_last_layer_of_packed_texts_computes_only_what_is_pooled(benchmarks):
    shapes, products = tiny_bert.architecture(), benchmarks.training_products
    hidden, inner = shapes.hidden_size, shapes.inner_dim

    def operations(shape):
        return sum(one.operations * n for one, n in products.of_step(shapes, shape).items())

    spared = (3 * 8 - 5) * (hidden**2 + 2 * hidden * inner)
    whole, pooled = products.Shape(3, 8), products.Shape(3, 8, pooled=5)
    assert operations(whole) - operations(pooled) == 2 * 3 * spared


def test_the_seconds_of_products_are_those_of_a_mean_step(benchmarks, monkeypatch):
    products, clock = benchmarks.training_products, iter(range(10_000))
    monkeypatch.setattr(products.time, "perf_counter", lambda: next(clock))
    shapes, called = tiny_bert.architecture(), []
    seconds, operations = products.seconds(
        [products.Shape(2, 4), products.Shape(2, 4), products.Shape(2, 8)],
        shapes,
        lambda left, right: lambda: called.append(left.shape[:2] + right.shape[2:]),
        repetitions=3,
    )
    # A second each by this clock: eight products forward, and each has two gradients.
    assert seconds == 3 * 8 * shapes.layers
    assert len(called) % (1 + 3) == 0  # One that is not timed, and three.
    longer = sum(
        one.operations * n for one, n in products.of_step(shapes, products.Shape(2, 8)).items()
    )
    shorter = sum(
        one.operations * n for one, n in products.of_step(shapes, products.Shape(2, 4)).items()
    )
    assert operations == (2 * shorter + longer) / 3


def test_each_operation_is_counted_for_one_part_of_the_step(benchmarks):
    shares = benchmarks.training_steps.shares(
        {
            "AdamWeightDecay/update_3/mul:Mul": 1.0,
            "gradient_tape/model/bert_encoder/layer_0/output/einsum/Einsum:_MklEinsum": 4.0,
            "model/bert_encoder/transformer/layer_1/self_attention/dropout_5/Mul:Mul": 2.0,
            "model/bert_encoder/transformer/layer_1/output_layer_norm/batchnorm/mul_1:Mul": 1.0,
            ":IteratorGetNextOp::DoCompute": 2.0,
        }
    )
    assert {part: share for part, share in shares.items() if share != "0.0%"} == {
        "waiting for input": "20.0%",
        "optimizer": "10.0%",
        "matrix products": "40.0%",
        "dropout": "20.0%",
        "layer norm": "10.0%",
    }


def measured(benchmarks, variant, epochs):
    return benchmarks.training_steps.TrainingStep(
        variant=variant,
        settings={"batch_size": 32},
        seconds=[0.1, 0.3],
        positions=400.0,
        pieces=300.0,
        products={"seconds": 0.1, "operations": 4e9},
        peak_memory_bytes=1_554_000_000,
        epochs=epochs,
        environment={},
    )


@pytest.mark.parametrize("columns", ["80", "160"])
def test_the_memory_over_epochs_is_a_table_that_a_narrow_terminal_shows(
    benchmarks, columns, monkeypatch, capsys
):
    monkeypatch.setenv("COLUMNS", columns)
    made = [
        measured(benchmarks, "torch_128", []),  # PyTorch's is not asked.
        measured(benchmarks, "padded", [1_709_600_000, 1_713_500_000]),
        measured(benchmarks, "packed", [1_635_400_000, 1_645_000_000]),
    ]
    benchmarks.training_steps.print_tables("cola", made, "packed")
    steps, memory = capsys.readouterr().out.split("cola: MB that a process holds after an epoch")
    head, _, *rows = [line.split() for line in memory.splitlines() if line]
    assert head == ["epoch", "padded", "packed"]
    assert rows == [["1", "1,710", "1,635"], ["2", "1,714", "1,645"]]
    assert "after" not in steps
    assert max(map(len, memory.splitlines())) <= int(columns)


def test_without_epochs_there_is_no_table_of_memory(benchmarks, capsys):
    benchmarks.training_steps.print_tables("cola", [measured(benchmarks, "packed", [])], "packed")
    assert "epoch" not in capsys.readouterr().out


def test_a_start_is_told_by_part_in_medians(benchmarks):
    first = benchmarks.first_step
    starts = [
        {"importing": first.Moment(wall, wall + 1), "in all": first.Moment(9.0, 9.0)}
        for wall in (1.0, 5.0, 2.0)
    ]
    importing, total = first.rows(starts)
    assert importing == {
        "": "importing",
        "seconds (median)": "2.0",
        "range": "1.0 to 5.0",
        "processor seconds (median)": "3.0",
    }
    assert total["seconds (median)"] == "9.0"
