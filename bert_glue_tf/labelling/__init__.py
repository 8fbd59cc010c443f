"""Labels for much text: parts of an input to parts of an output, by an executor."""
