"""Encoders and the classifiers on top of them."""
