"""Parts of much text: read piece by piece, labelled, and written beside their columns."""
