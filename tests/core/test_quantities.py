"""Numbers as people read them."""

from __future__ import annotations

import pytest

from bert_glue_tf.core import quantities


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (614, "614 B"),
        (1000, "1.00 kB"),
        (999_499, "999 kB"),
        (999_600, "1.00 MB"),  # Never "1000 kB".
        (92_840_000, "92.8 MB"),
        (438_000_000, "438 MB"),
        (1_857_950_000, "1.86 GB"),
        (5e15, "5000 TB"),
    ],
)
def test_bytes_have_the_unit_that_fits_them(number, text):
    assert quantities.size(number) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234.5, "1234"),
        (282.04, "282"),
        (81.06, "81.1"),
        (0.0027032, "0.00270"),
        (-3.14159, "-3.14"),
        (9.996, "10.0"),
    ],
)
def test_three_digits_mean_something(value, text):
    assert quantities.significant(value) == text


def test_a_share_may_be_tiny():
    assert quantities.share(614 / 22_713_986) == "0.0027 %"
    assert quantities.percent(614 / 768) == "79.9 %"
    assert quantities.percent(614 / 768, 2) == "79.95 %"
    assert quantities.count(22_713_986) == "22,713,986"
