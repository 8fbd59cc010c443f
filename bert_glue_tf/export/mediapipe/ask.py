"""Ask MediaPipe's TextClassifier, in a Python that has the package `mediapipe` and not this one.

    PYTHON ask.py [FILE] < texts

Texts are lines of JSON, a string each. The first line that is printed is MediaPipe's version, each
further one an object of JSON of a text: label -> probability, the most probable first. Without a
file the version is all that is asked.
"""

import importlib.util
import json
import sys
import types

# MediaPipe imports them with its tasks, for pictures and sound.
_NOT_FOR_TEXTS = {"cv2": (), "matplotlib": ("pyplot",), "sounddevice": ()}


class _Absent(types.ModuleType):
    """A module that is not installed, and that no text needs."""

    def __getattr__(self, name: str) -> int:
        if name.startswith("__"):
            raise AttributeError(name)
        return 0


def _stand_in() -> None:
    """Let the modules that no text needs be imported where they are not installed."""
    for name, parts in _NOT_FOR_TEXTS.items():
        if importlib.util.find_spec(name) is None:
            for module in (name, *(f"{name}.{part}" for part in parts)):
                sys.modules[module] = _Absent(module)


def main() -> None:
    """Answer the texts on standard input."""
    _stand_in()
    import mediapipe
    from mediapipe.tasks import python as tasks
    from mediapipe.tasks.python import text

    if not sys.argv[1:]:
        print(json.dumps(mediapipe.__version__))
        return
    options = text.TextClassifierOptions(
        base_options=tasks.BaseOptions(model_asset_path=sys.argv[1])
    )
    with text.TextClassifier.create_from_options(options) as classifier:
        print(json.dumps(mediapipe.__version__), flush=True)
        for line in sys.stdin:
            (found,) = classifier.classify(json.loads(line)).classifications
            print(json.dumps({one.category_name: one.score for one in found.categories}))


if __name__ == "__main__":
    main()
