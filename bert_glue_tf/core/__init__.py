"""Errors, files, strict JSON and command-line helpers; imports nothing else of the package."""
