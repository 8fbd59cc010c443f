"""Sources never unpickle or evaluate what they read, nor unpack it unseen.

Kinds of hostile input: pickles, Python and archives inside of any file, and handles in a run's
settings that would fetch an encoder where a run is only read.
"""

from __future__ import annotations

import ast
import pathlib

ROOT = pathlib.Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("bert_glue_tf/**/*.py"), *ROOT.glob("benchmarks/**/*.py")])

# Modules that run what they read, or unpack without looking where to.
_FORBIDDEN_MODULES = {
    "pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve",
    "yaml", "tarfile", "zipfile", "runpy", "code", "codeop",
}  # fmt: skip
# By the last part of what is called.
_FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "unpack_archive", "extractall", "load_model",
    "model_from_json", "load_weights", "enable_unsafe_deserialization", "Unpickler",
    # Of pandas.
    "read_pickle", "read_hdf",
}  # fmt: skip
# Calls that read what may be hostile, and where they may stand: file -> functions.
_LOADERS = {
    "resolve": {"tfhub.py": {"fetch"}},  # hub.resolve: of what `encoders.resolve` names.
    # hub.load: a folder that is there.
    "load": {"preprocessing.py": {"load"}, "saved_encoders.py": {"load_layer"}},
    "KerasLayer": {"saved_encoders.py": {"load_layer"}, "preprocessing.py": {"build"}},
}


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a name or an attribute; what stands before is left out."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}".lstrip(".")
    return node.id if isinstance(node, ast.Name) else ""


def offences(source: str) -> list[str]:
    """Return the imports and calls of a source that could run the content of a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [n.name for n in node.names if n.name.split(".")[0] in _FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom):
            found += (
                [node.module] if (node.module or "").split(".")[0] in _FORBIDDEN_MODULES else []
            )
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            last = name.split(".")[-1]
            # `re.compile`, and the methods `eval` of a PyTorch model and `compile` of a Keras one,
            # that of `super()` included.
            is_name = isinstance(node.func, ast.Name)
            own = is_name and name in ("eval", "exec", "compile", "__import__")
            if own or (last in _FORBIDDEN_CALLS - {"eval", "exec", "compile"}):
                found.append(name)
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            for unsafe, bad in (("allow_pickle", True), ("shell", True), ("weights_only", False)):
                value = keywords.get(unsafe)
                if value is not None and getattr(value, "value", bad) is bad:
                    found.append(f"{name}({unsafe})")
            if name == "torch.load" and "weights_only" not in keywords:
                found.append(name)
    return found


def test_nothing_read_is_unpickled_or_evaluated():
    found = {path.name: offences(path.read_text(encoding="utf-8")) for path in SOURCES}
    # A file for MediaPipe has its vocabulary zipped behind the model: an archive is written there,
    # and none is read. NumPy reads .npz files, with allow_pickle=False, and raises the module's
    # error where one is damaged.
    writes = ("packing.py",)
    catches = ("importing.py", "npz.py", "word_arrays.py", "word_vectors.py")
    assert {name: calls for name, calls in found.items() if calls} == {
        **{name: ["zipfile"] for name in (*writes, *catches)},
        # Pictures are read out of a tar, and none is unpacked.
        "pictures.py": ["tarfile"],
    }


def test_the_scan_sees_what_it_is_for():
    for source in (
        "import pickle",
        "from yaml import load",
        "import os, zipfile",
        "eval('1')",
        "exec(text)",
        "__import__(name)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "shutil.unpack_archive(a, b)",
        "tar.extractall(b)",
        "tf_keras.models.load_model(path)",
        "subprocess.run(text, shell=True)",
    ):
        assert offences(source), source


def test_the_scan_lets_pass_what_is_harmless():
    source = "re.compile(x); model.eval(); model.compile(o); np.load(p, allow_pickle=False)"
    assert offences(source) == []


def functions_that_call(path: pathlib.Path, name: str) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and dotted(node.func) == name
    }


def test_tf_hub_is_asked_in_known_places_only():
    for name, known in _LOADERS.items():
        found = {
            path.name: functions
            for path in SOURCES
            if (functions := functions_that_call(path, f"hub.{name}"))
        }
        assert found == known, name


def test_an_encoder_is_loaded_for_training_alone():
    """A run's config.json may name any handle; who reads a run never loads its encoder anew."""
    callers = {
        path.name
        for path in ROOT.glob("bert_glue_tf/**/*.py")
        if functions_that_call(path, "loading.load")
    }
    assert callers == {"network.py"}
