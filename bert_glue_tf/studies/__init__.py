"""The tables of the four documents, ours beside theirs."""
