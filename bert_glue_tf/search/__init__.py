"""The search for the parts of a finished classifier that are worth what they cost."""
