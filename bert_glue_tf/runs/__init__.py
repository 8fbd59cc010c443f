"""Settings and flags, the folder and lock of a run, its history and its record."""
