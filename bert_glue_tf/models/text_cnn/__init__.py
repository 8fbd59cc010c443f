"""Convolutions over the vectors of words: Conv-4, Conv-6 and DE-CNN, and any of their kind."""
