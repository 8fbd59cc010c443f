"""SavedModels that are the same bytes whenever they are written of the same model."""

from __future__ import annotations

import itertools
import pathlib
import re
from typing import Any

# As TensorFlow names a traced function: what it does, and a running number.
_FUNCTION = re.compile(r"(.+_)(\d+)")
_ARGUMENT = "_user_specified_name"
# What TensorFlow puts behind the name of a table that it has loaded; a loaded one gets it anew.
_LOADED = re.compile(rb"(_load_\d+(_\d+)?)+$")


def remove_chance(folder: pathlib.Path) -> None:
    """Remove from a SavedModel all that differs between two that were saved of the same model.

    The bytes in a run's record are to be the same each time: TensorFlow numbers functions and
    tensors by what the process has traced before, writes them in no order, and signs the files
    with a random number.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    # Those before TensorFlow 2.12 have no signature either.
    (folder / "fingerprint.pb").unlink(missing_ok=True)
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for graph in saved.meta_graphs:
        functions = graph.graph_def.library.function
        numbered = [
            (int(found[2]), found[1], found[0])
            for function in functions
            if (found := _FUNCTION.fullmatch(function.signature.name))
        ]
        new = {name: f"{what}{index}" for index, (_, what, name) in enumerate(sorted(numbered))}
        for function in functions:
            function.signature.name = new.get(function.signature.name, function.signature.name)
            _name_captured(function)
        functions.sort(key=lambda function: function.signature.name)
        for node in itertools.chain(graph.graph_def.node, *(f.node_def for f in functions)):
            node.op = new.get(node.op, node.op)
            if "shared_name" in node.attr:
                node.attr["shared_name"].s = _LOADED.sub(b"", node.attr["shared_name"].s)
            for attribute in node.attr.values():
                called = [attribute.func] if attribute.HasField("func") else attribute.list.func
                for function in called:
                    function.name = new.get(function.name, function.name)
        objects = graph.object_graph_def
        for name in [*objects.concrete_functions]:
            if name in new:
                objects.concrete_functions[new[name]].CopyFrom(objects.concrete_functions[name])
                del objects.concrete_functions[name]
        for node in objects.nodes:
            names = node.function.concrete_functions if node.HasField("function") else []
            names[:] = [new.get(name, name) for name in names]
            if node.HasField("bare_concrete_function"):
                bare = node.bare_concrete_function
                bare.concrete_function_name = new.get(
                    bare.concrete_function_name, bare.concrete_function_name
                )
    path.write_bytes(saved.SerializeToString(deterministic=True))


def _name_captured(function: Any) -> None:
    """Name the arguments that a function captures by their places instead of a tensor's number."""
    new = {}
    for index, argument in enumerate(function.signature.input_arg):
        given = function.arg_attr[index].attr if index in function.arg_attr else {}
        user = given[_ARGUMENT].s if _ARGUMENT in given else b""
        if user.isdigit():
            given[_ARGUMENT].s = b"captured"
        if (user.isdigit() or not user) and _FUNCTION.fullmatch(argument.name):
            new[argument.name] = f"captured_{index}"
            argument.name = new[argument.name]
    for node in function.node_def:
        if any(name in new for name in node.input):
            node.input[:] = [new.get(name, name) for name in node.input]
    for output, name in [*function.ret.items()]:
        function.ret[output] = new.get(name, name)
