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
from bert_glue_tf.studies import claims

RESULTS = pathlib.Path(__file__).parent / "results"
PAGE = RESULTS / "claims.md"
HEAD = """# What the four documents claim, and what was found here

Written by `make claims` from the answers of the studies in this folder; [studies.md](../studies.md)
names the documents. *holds* and *does not hold* are of the encoder and the data that the row names,
which are smaller than the documents'. *cannot be told* says which difference so many examples would
have shown four times of five. Differences: mean over the seeds, 95 % interval, p corrected for the
number of tests of its study (Holm). *not run*: no committed run has written an answer; those of
before this page was are described in [studies.md](../studies.md).

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
    rows = claims.rows(found)
    commands = list(dict.fromkeys(row.made_by for row in rows if row.made_by))
    lines = [HEAD + tables.markdown(claims.table(rows)), "## Commands", ""]
    for command in commands:
        of = dict.fromkeys(row.claim.document for row in rows if row.made_by == command)
        lines += [f"{', '.join(of)}:", "", "```sh", command, "```", ""]
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
