"""Text encoders that are computed as their SavedModel says."""
