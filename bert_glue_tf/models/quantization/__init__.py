"""The grids of integers that files compute with, and the training that knows of them."""
