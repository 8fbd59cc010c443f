"""Fine-tune BERT on GLUE with TensorFlow, prune it, and report what it cost."""

import os
import warnings

__version__ = "0.1.0"

# tfmot, tf-models-official and TF-Hub are written for Keras 2, which TensorFlow
# serves as `tf.keras` only if this is set before its first import.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# TensorFlow's C++ side writes a dozen lines to the terminal at every start, some of them
# called errors (no CUDA driver on a machine without a GPU). What really fails reaches Python
# as an exception all the same; TF_CPP_MIN_LOG_LEVEL=0 brings the lines back.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# tensorflow-hub 0.16 imports pkg_resources, which says so at every start, in a notebook too.
warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
