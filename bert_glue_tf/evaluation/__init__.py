"""Scores of models: metrics, intervals, significance, robustness and cost."""
