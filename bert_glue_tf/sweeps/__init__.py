"""A grid of settings to a plan, runs and a table."""
