"""Tables of the user's own: labelled texts in .csv, .tsv, .jsonl, .json, .parquet and .arrow."""
