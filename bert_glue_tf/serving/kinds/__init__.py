"""The examples that a prediction is asked about, by their kind: texts, or arrays."""
