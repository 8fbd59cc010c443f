"""A classifier from a run or a file: text in, label out."""
