"""A budget in size, time and score to the best file that keeps it: search, training, choice."""
