"""Table 2 of the second report beside ours: models of different sparsity that share their weights.

Each network is trained in two ways: as the report has it, by masks of the trained network without
a step after them, and by our training of all its models together.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.evaluation import sharing
from bert_glue_tf.evaluation.sharing import Account
from bert_glue_tf.export import benchmark, launch
from bert_glue_tf.export.defaults import REPETITIONS, THREADS
from bert_glue_tf.models.quantization.recipes import FLOAT32
from bert_glue_tf.reports import plots, reading, tables
from bert_glue_tf.reports.tables import Table
from bert_glue_tf.reports.verdicts import Comparison
from bert_glue_tf.runs.paths import SIZES, RunPaths
from bert_glue_tf.studies import printed, shared_claims, shared_models, shared_rows, words
from bert_glue_tf.studies.cells import Cell, cell
from bert_glue_tf.studies.claims import Answer
from bert_glue_tf.studies.shared_models import (
    FINE_TUNED,
    MASKS,
    METHOD,
    PRINTED,
    TOGETHER,
    TRAININGS,
    Level,
)
from bert_glue_tf.studies.shared_rows import COLUMNS, COSTS, ON_PAGE, SWITCHES, Cost, Row, SwitchRow
from bert_glue_tf.studies.study import Section
from bert_glue_tf.studies.swept import SweptStudy

COUNTS = (0, 1, 2, 5, 10, 100, 1000)  # Of switches.


class Shared(SweptStudy):
    """Models of different sparsity that share their weights, on several networks.

    Where a task has a test split, scores and differences are those of its examples.

    Args:
      networks: encoder/task, or encoder/task=DATA where its data is not that of `given`.
      given: settings that somebody has chosen, `data` among them; they go before the networks'
        recipes (`shared_models.RECIPES`).
      seeds: of each.
      sparsities: of the models of a network that the report has not, the sparsest first.

    Raises:
      UserError: a network is none, or a setting is none of a run.
    """

    name = "shared"

    def __init__(
        self,
        networks: Sequence[str],
        given: Mapping[str, str],
        seeds: Sequence[int],
        sparsities: Sequence[str],
    ) -> None:
        self.levels: dict[str, list[Level]] = {}
        self._no_files: dict[str, str] = {}  # Name of a model -> why it has none.
        cells: list[Cell] = []
        for name, data in shared_models.parsed(networks).items():
            own = shared_models.recipe(name, {**given, "data": data or given["data"]})
            if own["finetune_epochs"] == "0":
                raise UserError(
                    "--finetune_epochs=0: the study prunes fine-tuned models. Give 1 or more."
                )
            cells += self._cells(name, own, seeds, shared_models.sparsities(name, sparsities))
        super().__init__(cells)

    def _cells(
        self, network: str, given: Mapping[str, str], seeds: Sequence[int], names: Sequence[str]
    ) -> Iterator[Cell]:
        """Yield the trainings of a network, and keep its models as levels."""
        once = {**given, "epochs": given["finetune_epochs"], "finetune_epochs": "0"}
        yield cell(f"{network}, {FINE_TUNED}", once, NO_PRUNING, seeds)
        self.levels[network] = []
        for training, option in TRAININGS.items():
            own = {**(once if training == MASKS else {**given, "pruning_schedule": "one_shot"})}
            own["pruning_options"] = f"sparsities={','.join(names)} training={option}"
            made = cell(f"{network}, {training}", own, METHOD, seeds)
            sizes = shared_models.names(made, names)
            self.levels[network] += [
                Level.of(made, network, size, size == sizes[-1]) for size in sizes
            ]
            yield made

    def run_names(self, cell: Cell) -> list[str]:
        """Return the names of the run folders of a cell, or of a level of one."""
        if not isinstance(cell, Level):
            return super().run_names(cell)
        found = super().run_names(cell.trained)
        return found if cell.is_densest else [f"{name}/{SIZES}/{cell.size}" for name in found]

    def export(self, threads: int = THREADS, repetitions: int = REPETITIONS) -> None:
        """Make the float32 files of each first seed's models, and time them all in turns.

        Files that are there are not made again. A file that cannot be made leaves the others as
        they are, and `notes` tells of it.

        Args:
          threads: of LiteRT.
          repetitions: timed runs of each file.

        Raises:
          UserError: no file can be timed.
        """
        folders, self._no_files = [], {}
        for one in self.cells:
            config = next((each for each in one.configs if each.run_name in self.records), None)
            if config is None:
                continue
            folder, made = self.folder(config), False
            for size in self.records[config.run_name].sizes.get("names", [""]):
                try:
                    launch.launch_sizes(
                        folder,
                        size=size,
                        recipes=[FLOAT32],
                        threads=threads,
                        latency_repetitions=repetitions,
                    )
                    made = True
                except UserError as error:
                    why = str(error).replace(f"{folder.parent}/", "")  # Others read the page too.
                    self._no_files[f"{one.label}, {size}".removesuffix(", ")] = why
            folders += [folder] if made else []
        if folders:
            benchmark.measure(folders, recipes=[FLOAT32], threads=threads, repetitions=repetitions)
        self.read(run.folder.path for run in self._runs if run.name in self.records)

    def notes(self) -> list[str]:
        """Return what a reader has to know, the files that could not be made included."""
        told = (f"{name}: no file, and so no time: {why}" for name, why in self._no_files.items())
        return [*super().notes(), *told]

    def read(self, folders: Iterable[pathlib.Path]) -> None:
        super().read(folders)
        self._models = {key: reading.on_test_splits(one) for key, one in self._models.items()}

    # --- tables ---

    def rows(self) -> list[Row]:
        """Return a row for each network before any pruning, and for each model of a training."""
        found = []
        for network in self.levels:
            found.append(self._plain_row(network))
            for level, difference in self.compared(network):
                found.append(self._row(level, difference))
        return found

    def compared(self, network: str) -> list[tuple[Level, Comparison | None]]:
        """Return the levels of a network, each with its difference to the densest of its training.

        The differences of a network are tested together.
        """
        levels = self.levels[network]
        densest = {one.trained: one for one in levels if one.is_densest}
        pairs = [(one, densest[one.trained]) for one in levels if not one.is_densest]
        differences = dict(
            zip((one for one, _ in pairs), self.compare_together(pairs), strict=True)
        )
        return [(one, differences.get(one)) for one in levels]

    def _plain_row(self, network: str) -> Row:
        """Return the row of the network that the trainings start from."""
        one = next(one for one in self.cells if one.label == f"{network}, {FINE_TUNED}")
        file = self.group(one, FLOAT32)
        return Row(
            network=network,
            training=FINE_TUNED,
            size="0",
            theirs=None,
            group=self.group(one),
            difference=None,
            kept_apart=None,
            milliseconds=file.models[0].milliseconds if file else None,
            reason=self.reason(one),
        )

    def _row(self, level: Level, difference: Comparison | None) -> Row:
        sizes = [one.size for one in self.levels[level.network] if one.trained == level.trained]
        number = sizes.index(level.size)
        theirs = printed.shared(PRINTED.get(level.network, ""))
        account = self.account(level.trained)
        file = self.group(level, FLOAT32)
        return Row(
            network=level.network,
            training=_training(level.trained),
            size=level.size,
            theirs=theirs[number] if number < len(theirs) else None,
            group=self.group(level),
            difference=difference,
            kept_apart=account.alone(number) if account else None,
            milliseconds=file.models[0].milliseconds if file else None,
            reason=self.reason(level.trained),
        )

    def account(self, one: Cell) -> Account | None:
        """Return the bytes of the models of a network, of its first finished seed.

        None where no run of it is finished.

        Raises:
          UserError: the masks of the run, or a network of it, are missing or damaged.
        """
        for config in one.configs:
            record = self.records.get(config.run_name)
            if record is not None:
                folder, names = RunPaths(self.folder(config)), record.sizes["names"]
                return shared_models.account(folder, names, record.parameters["total"])
        return None

    def costs(self) -> list[Cost]:
        """Return what each network costs and saves by sharing, a row for each training."""
        found = []
        for network, one in self._trained():
            account = self.account(one)
            if account is not None:
                found.append(Cost(network, _training(one), account))
        return found

    def _trained(self) -> Iterator[tuple[str, Cell]]:
        for network, levels in self.levels.items():
            for one in dict.fromkeys(level.trained for level in levels):
                yield network, one

    def tables(self) -> dict[str, Table[Any]]:
        """Return the models, what they cost and save, and what switches between them cost."""
        costs = self.costs()
        switches = [
            SwitchRow(cost.network, cost.training, spent)
            for cost in costs
            for spent in sharing.switches(cost.account, COUNTS)
        ]
        return {
            self.name: Table(COLUMNS, tuple(self.rows())),
            f"{self.name}_bytes": Table(COSTS, tuple(costs)),
            f"{self.name}_switches": Table(SWITCHES, tuple(switches)),
        }

    def figures(self) -> dict[str, Any]:
        """Return energy against the number of switches, a figure for each network."""
        counts, costs = list(range(13)), self.costs()
        return {
            name: plots.against_numbers(
                f"{network}: energy of switching between models",
                "switches",
                "mJ",
                counts,
                shared_rows.energy([one for one in costs if one.network == network], counts),
            )
            for network, name in self._figures().items()
        }

    def _figures(self) -> dict[str, str]:
        """Return network -> the name of its figure, of those that have a finished training."""
        found = dict.fromkeys(cost.network for cost in self.costs())
        numbers = {network: number for number, network in enumerate(self.levels, 1)}
        return {network: f"{self.name}_energy_{numbers[network]}" for network in found}

    # --- words ---

    def findings(self) -> list[str]:
        """Return how far the models of a network are apart, and the bytes that sharing saves."""
        found = []
        for network in self.levels:
            compared = self.compared(network)
            for training in TRAININGS:
                own = [(a, b) for a, b in compared if _training(a.trained) == training and b]
                if own:
                    found.append(
                        f"{network}, {training}: against the densest model "
                        + "; ".join(f"{a.size} {words.interval(b)}" for a, b in own)
                        + "."
                    )
        found += [
            f"{cost.network}, {cost.training}: positions take {cost.account.index:,} bytes "
            f"(bitmap {cost.account.bitmap:,}, run lengths {cost.account.run_lengths:,}), and "
            f"{cost.account.saved:,} bytes of weights are not kept twice."
            for cost in self.costs()
        ]
        return found or ["No network has two finished models, so nothing is compared."]

    def answers(self) -> list[Answer]:
        """Return the answers to the report's claims, for each way of training."""
        found = []
        for training in TRAININGS:
            compared = {
                network: [
                    (level.size, difference)
                    for level, difference in self.compared(network)
                    if _training(level.trained) == training and difference
                ]
                for network in self.levels
            }
            found.append(shared_claims.accuracy(training, compared))
        account = self._lenet()  # The report tells of LeNet-5 alone from where sharing pays.
        return found if account is None else [*found, shared_claims.pays(account)]

    def _lenet(self) -> Account | None:
        """Return the bytes of the first LeNet-5 of which there are any."""
        found = (
            self.account(one)
            for _, one in self._trained()
            if one.configs[0].encoder == shared_claims.LENET
        )
        return next((account for account in found if account is not None), None)

    def sections(self) -> Iterator[Section]:
        """Yield a table for each network, the bytes and the findings."""
        shown = ("training", "model", "report, accuracy", "ours", "difference", "verdict")
        for network, own in self._of_networks():
            yield Section(
                f"{network}{self.sample_mark}",
                own.pick(*shown),
                shared_models.contradiction(network),
            )
        costs = Table(COSTS, tuple(self.costs()))
        heads = ("network", "training", "each one's own", "shared, in all", "kept apart, in all")
        yield Section("Bytes", costs.pick(*heads))
        yield Section(lines=(*self.findings(), *self.notes()))

    def _of_networks(self) -> Iterator[tuple[str, Table[Row]]]:
        """Yield the table of each network."""
        rows = self.rows()
        for network in self.levels:
            yield network, Table(COLUMNS, tuple(row for row in rows if row.network == network))

    def _network_sections(self) -> Iterator[str]:
        """Yield each network's table, and the settings and examples of its finished trainings."""
        for network, own in self._of_networks():
            yield from (f"## {network}", "", tables.markdown(own.pick(*ON_PAGE).filled()))
            yield from (f"- {line}" for line in shared_models.contradiction(network))
            for one in dict.fromkeys(level.trained for level in self.levels[network]):
                if found := self.records_of(one):
                    settings = self.settings_line([one], shared_models.UNUSED[_training(one)])
                    yield f"- {_training(one)}: {settings} {shared_models.scored_on(found[0])}"
            yield ""

    def text(self) -> str:
        """Return the whole comparison in Markdown."""
        made = self.tables()
        lines = [
            f"# Shared weights: Table 2 of the second report beside ours{self.sample_mark}",
            "",
            "Scores and differences are those of a task's test split, where it has one with "
            "labels besides the split that is scored while it trains; else of the latter.",
            "",
            f"`{FINE_TUNED}`: the network that both start from. "
            f"`{MASKS}`: as the report, masks of the trained network and no step after them; means "
            "and variances of batch normalization are computed anew for each model. "
            f"`{TOGETHER}`: all models of a network trained on together, with the densest as "
            "teacher. Each difference is to the densest model of the same training. "
            "A network's settings stand below its table, and further columns in "
            f"`{self.name}.csv`. " + words.tests("the models of a network"),
            "",
            *self._network_sections(),
            "## Bytes",
            "",
            "`kept apart`: each model's weights that are not zero, and their positions, as a "
            "bitmap or as run lengths, whichever is smaller. "
            "`each one's own`: its means and variances of batch normalization, which are kept "
            "for each network and rewritten at each switch. "
            "`pays from`: the sparsity of which the weights that are left out take as much as the "
            "positions.",
            "",
            tables.markdown(made[f"{self.name}_bytes"]),
            "## Switches",
            "",
            "From the sparsest model to the next denser one and so on, with the report's rates: "
            "1.2 MB are read in 1 s with 1.47 mJ, 1.3 MB written in 1 s with 1.51 mJ.",
            "",
            tables.markdown(made[f"{self.name}_switches"]),
            *(f"![{network}]({name}.svg)" for network, name in self._figures().items()),
            "",
            "## What was found",
            "",
            *(f"- {line}" for line in self.findings()),
            "",
            *(f"- {line}" for line in self.notes()),
            "",
            *self.failed_section(),
        ]
        return "\n".join(lines)


def _training(one: Cell) -> str:
    """Return the way in which a cell was trained."""
    return one.label.rpartition(", ")[2]
