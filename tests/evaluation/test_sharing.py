"""Bytes and energy of shared weights, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bert_glue_tf.evaluation import sharing

# Twelve weights: 4 are in all three networks, 3 in the two larger, 2 in the largest, 3 in none.
FIRST = np.array([[0, 3, 0, 1], [1, 2, 0, 3], [3, 1, 2, 0]], np.uint8)
NAMES = ("0.67", "0.42", "0.25")


def account(weight_bits=32, own=0):
    return sharing.Account.of(NAMES, {"kernel": FIRST}, 20, own, weight_bits)


def test_the_reports_two_numbers_follow_from_an_index_for_each_kernel_and_each_row():
    assert sharing.pays_from(16, 16, group=25) == 0.04
    assert sharing.pays_from(16, 16, group=5) == 0.2
    # A bit for each weight of 32, 16 and 8 bits.
    assert [sharing.pays_from(1, bits) for bits in (32, 16, 8)] == [0.03125, 0.0625, 0.125]


def test_weights_and_positions_are_counted():
    found = account()
    assert found.kept == (4, 7, 9)
    assert (found.prunable, found.others) == (12, 8)
    # Four numbers, two bits each, of twelve weights.
    assert found.bitmap == 3
    # Nine lengths of five bits, none longer than 31: 45 bits.
    assert found.run_lengths == 6
    assert [found.values(number) for number in range(3)] == [48, 60, 68]
    assert found.shared == 68 + 3
    assert found.saved == 48 + 60
    # Each with a bit for each of the twelve.
    assert found.apart == 48 + 60 + 68 + 3 * 2
    assert found.pays_from == 24 / (12 * 32)
    assert account(8).values(2) == 17


def test_a_run_that_is_longer_than_its_field_has_fillers():
    first = np.ones(200, np.uint8)
    # Of 32 codes one is the filler's, of 31 weights. Steps 1, 32 and 167: fillers 0, 1 and 5.
    first[[0, 32, 199]] = 0
    assert sharing.run_length_bytes(first, 1) == -(-(3 + 6) * 5 // 8)
    assert sharing.run_length_bytes(np.ones(8, np.uint8), 1) == 0


def test_networks_that_are_kept_apart_have_the_smaller_form_of_positions_as_well():
    first = np.full(800, 2, np.uint8)
    first[[10, 20, 30]] = 0, 1, 0
    found = sharing.Account.of(("0.99", "0.98"), {"kernel": first}, 800)
    # Bitmaps: two bits each for both, one bit each for one alone. Run lengths: three of 5 bits.
    assert (found.bitmap, found.run_lengths, found.index) == (200, 2, 2)
    assert found.run_lengths_apart == (2, 2)
    assert [found.alone(number) for number in range(2)] == [2 * 4 + 2, 3 * 4 + 2]
    assert found.pays_from == found.pays_from_bytes(2) == 2 / 3200
    assert found.pays_from_bytes(200) == 200 / 3200


@pytest.mark.parametrize(("networks", "bits"), [(1, 1), (2, 2), (3, 2), (4, 3)])
def test_a_bitmap_has_a_number_for_each_network_and_for_none(networks, bits):
    assert sharing.bitmap_bytes(80, networks) == 10 * bits


def test_a_switch_rewrites_the_next_network_or_nothing():
    found = account()
    alone = [found.alone(number) for number in range(3)]
    assert alone == [50, 62, 70]
    none, one, four = sharing.switches(found, [0, 1, 4])
    assert (none.apart_bytes, one.apart_bytes) == (0, 62)
    assert four.apart_bytes == 62 + 70 + 50 + 62
    assert {each.shared_bytes for each in (none, one, four)} == {0}
    joules = 1.47e-3 / 1.2e6 + 1.51e-3 / 1.3e6  # Of a byte that is read and written.
    assert none.apart_joules == pytest.approx(50 * joules)
    assert four.apart_joules == pytest.approx((50 + 244) * joules)
    assert none.shared_joules == four.shared_joules == pytest.approx(71 * joules)
    assert four.apart_seconds == pytest.approx(294 / 1.2e6 + 294 / 1.3e6)
    assert one.apart_joules > one.shared_joules > none.apart_joules


def test_what_each_network_has_of_its_own_is_kept_for_each_and_rewritten_at_each_switch():
    found, plain = account(own=3), account()
    assert (found.own_bytes, found.others) == (12, 8)
    # The eight others hold one network's; the two smaller ones have three more each.
    assert found.loaded == plain.shared == 68 + 3
    assert found.shared == 71 + 2 * 12
    assert found.saved == plain.saved - 2 * 12
    assert found.apart == plain.apart
    assert account(8, own=3).own_bytes == 3
    none, four = sharing.switches(found, [0, 4])
    before, after = sharing.switches(plain, [0, 4])
    assert (none.shared_bytes, four.shared_bytes) == (0, 4 * 12)
    assert none.shared_joules == before.shared_joules
    joules = 1.47e-3 / 1.2e6 + 1.51e-3 / 1.3e6
    assert four.shared_joules - after.shared_joules == pytest.approx(48 * joules)
    assert four.shared_seconds - after.shared_seconds == pytest.approx(48 / 1.2e6 + 48 / 1.3e6)
    assert four.apart_joules == after.apart_joules
