"""Signals that come while compiled modules are imported."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from bert_glue_tf.core import interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_the_block_would_swallow_has_its_effect_at_its_end(number):
    earlier = signal.signal(number, signal.default_int_handler)
    done = []

    def block():
        with interrupts.held():
            try:
                signal.raise_signal(number)
            except KeyboardInterrupt:
                done.append("swallowed")
            done.append("the rest of the block")

    try:
        with pytest.raises(KeyboardInterrupt):
            block()
        assert done == ["the rest of the block"]
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, earlier)


def test_without_a_signal_nothing_happens():
    before = signal.getsignal(signal.SIGINT)
    with interrupts.held():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_leave_the_handlers_alone():
    found = []

    def work():
        with interrupts.held():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGINT)]


@pytest.mark.processes
def test_a_session_finds_its_compiled_modules_imported():
    check = "import sys, bert_glue_tf.evaluation.cost; sys.exit('numpy.random' not in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
