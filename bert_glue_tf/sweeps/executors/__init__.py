"""Executors: where the runs of a sweep are run. `base.py` says what an executor does."""
