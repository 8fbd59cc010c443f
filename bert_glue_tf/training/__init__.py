"""The experiment, its loop, optimizer, callbacks, checkpoints and devices."""
