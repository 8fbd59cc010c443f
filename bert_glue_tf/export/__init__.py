"""From a finished run to measured .tflite files."""
