"""Tasks, readers, tokenization and batching: from a task's name and a place to batches."""
