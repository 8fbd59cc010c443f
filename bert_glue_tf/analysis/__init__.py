"""The worth of the parts of a finished classifier, measured without training."""
