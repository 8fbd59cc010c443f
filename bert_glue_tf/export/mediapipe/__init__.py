"""Files for MediaPipe's TextClassifier: one length, probabilities, and what it reads of a file."""
