"""Trials: runs whose settings Optuna proposes, by what earlier ones have come to."""
