"""The BERT family: the only place that knows the names of its variables."""
