"""What a prediction is asked about, by the kind of examples: texts, or arrays."""
