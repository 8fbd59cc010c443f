"""Program: write docs/results/claims.md from the answers that the studies have written.

python docs/write_claims.py           write it anew (`make claims`)
python docs/write_claims.py --check   exit with 1 where the page says something else

Each study writes its answers beside its tables (`<study>_claims.json`); those in docs/results are
of the runs that this project shows.
"""

from __future__ import annotations

import pathlib
import sys

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.reports import tables
from bert_glue_tf.studies import claims, claims_table, printed_claims

RESULTS = pathlib.Path(__file__).parent / "results"
PAGE = RESULTS / "claims.md"
# The tests run the commands of pages on a tiny encoder of texts, which reads no pictures, and have
# no word vectors to make a CNN of. A part of a command -> why it is not run.
_NOT_RUN = {
    "/small_networks": "needs the data sets of small networks",
    "--models=": "needs DE-CNN's files and vectors",
    "reproduce_tagging": "needs the aspect files",
}
HEAD = """# What the four documents claim, and what was found here

Each row is a claim of one of the [four documents](../studies.md) and its answer; one is of Li et
al. 2019, whose taggers the study of local and global pruning prunes.

- **holds**: our runs show what the document claims.
- **does not hold**: our runs show something else.
- **cannot be told**: our runs show neither. The row says which difference a test would have found
  in four of five cases with so many examples.
- **has not been run**: no run in this folder answers the claim. The row names the command that
  would.

An answer is about the encoder and the data of its row, which are smaller than the documents'. A row
without an encoder is answered by numbers that the document prints. A difference is a mean over the
seeds, with its 95 % interval. p-values are corrected by Holm's method for the number of tests of
the study. The last column is the number of the command, below the table, whose runs gave the
answer.

`make claims` writes this page from the answers that the studies have written into this folder
(`*_claims.json`).

"""


def page() -> str:
    """Return the page.

    Raises:
      UserError: a file holds no answers.
    """
    found = [
        (command, answer)
        for path in sorted(RESULTS.glob(f"*{claims.ENDING}"))
        for command, answers in [claims.read(path)]
        for answer in answers
    ]
    rows = claims_table.rows(found, printed_claims.answers())
    commands = {row.number: row.made_by for row in rows if row.number}
    lines = [HEAD + tables.markdown(claims_table.table(rows)), "## Commands", ""]
    for number, command in commands.items():
        of = dict.fromkeys(row.claim.document for row in rows if row.number == number)
        lines += [f"Command {number} ({', '.join(of)}):", ""]
        reason = next((why for part, why in _NOT_RUN.items() if part in command), "")
        lines += [f"<!-- not run: {reason} -->"] if reason else []
        lines += ["```sh", command, "```", ""]
    return "\n".join(lines)


def main() -> int:
    """Write the page, or compare it; return the exit status."""
    try:
        new = page()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != new:
            print(f"{PAGE.name}: says something else than the answers. Run: make claims")
            return 1
        return 0
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
