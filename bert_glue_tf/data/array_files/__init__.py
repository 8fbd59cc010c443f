"""The files that arrays with labels are read from: idx, npz, pictures in folders, TFDS."""
