"""Pruning methods, one a file, behind the `PruningMethod` protocol of `method.py`.

A file `<method>.py` in this folder is the method of that name: nothing else has to be
told about it. The names are read from the folder without importing TensorFlow, so that
a wrong `--pruning_method` is answered at once.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import math
import pathlib
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    from bert_glue_tf.compression.method import PruningMethod
    from bert_glue_tf.runs.config import ExperimentConfig

NO_PRUNING = "none"
DEFAULT_METHOD = "classifier_magnitude"
# The folder of the methods, which is the list of them.
_FOLDER = [str(pathlib.Path(__file__).parents[1] / "pruning")]
# What every method has of its own, instead of the flag of that name.
COMMON_OPTIONS = ("final_sparsity",)

_added: dict[str, type[PruningMethod]] = {}


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the class of a method says about it, for the attributes of `method.PruningMethod`.

    None as options: only running the file can tell them.
    """

    options: frozenset[str] | None
    alone: str = ""
    unused: tuple[str, ...] = ()


def names() -> list[str]:
    """Names of all methods: `none`, the files of this folder, and what `register` added."""
    files = {module.name for module in pkgutil.iter_modules(_FOLDER)}
    return [NO_PRUNING, *sorted(files | set(_added))]


def register(method: type[PruningMethod]) -> type[PruningMethod]:
    """Class decorator: adds a method that lives outside this folder (a notebook's cell, say).

    Raises:
      ValueError: the name belongs to a method of this folder.
    """
    files = {module.name for module in pkgutil.iter_modules(_FOLDER)}
    if method.name in files | {NO_PRUNING}:
        raise ValueError(f"pruning method {method.name!r} exists already; choose another name")
    _added[method.name] = method
    return method


def split(value: str) -> tuple[str, ...]:
    """The methods that --pruning_method names, in their order: `attention_head,magnitude`.

    Raises:
      UserError: one is unknown, is named twice, or is `none` beside others.
    """
    found = tuple(canonical(part.strip()) for part in value.split(","))
    for name in found:
        _require_known(name)
    if len(set(found)) < len(found):
        twice = next(name for name in found if found.count(name) > 1)
        raise UserError(f"--pruning_method={value}: {twice} is named twice. Name it once.")
    if NO_PRUNING in found and len(found) > 1:
        raise UserError(
            f"--pruning_method={value}: {NO_PRUNING} contradicts the others. Leave it out."
        )
    return found


def canonical(name: str) -> str:
    """Return the name of the method that has `name` as another one; else `name` itself."""
    known = names()
    if name in known:
        return name
    methods = (method for method in known if method != NO_PRUNING)
    return next((method for method in methods if name in _aliases(method)), name)


def canonical_options(text: str) -> str:
    """Return a text of --pruning_options with the methods' own names for other ones."""
    parts = []
    for part in text.split(" "):
        name, sign, value = part.partition("=")
        method, dot, option = name.rpartition(".")
        parts.append(f"{canonical(method) if dot else ''}{dot}{option}{sign}{canonical(value)}")
    return " ".join(parts)


def _require_known(name: str) -> None:
    if name not in names():
        raise UserError(
            f"--pruning_method={name}: no such method. Good values: {', '.join(names())}, "
            "or several with commas between them."
        )


def parse_options(text: str) -> dict[str, str]:
    """`rounds=3 attention_head.final_sparsity=0.5` as a dict.

    Raises:
      UserError: a part is not name=value, or a name is given twice.
    """
    options: dict[str, str] = {}
    for part in text.split():
        name, sign, value = part.partition("=")
        if not sign or not name or not value:
            raise UserError(
                f"--pruning_options={text}: {part!r} is not name=value. Good: "
                "--pruning_options='rounds=3 block=4x4'."
            )
        if name in options:
            raise UserError(f"--pruning_options={text}: {name} is given twice. Give it once.")
        options[name] = value
    return options


def check(value: str, options: str = "", given: Mapping[str, Any] | None = None) -> None:
    """Reads the methods' files without running them, since that needs TensorFlow: 10 seconds.

    Args:
      value: of --pruning_method.
      options: of --pruning_options.
      given: settings that have not their defaults.

    Raises:
      UserError: a file is no Python, no class of it has the file's name as its `name`, or what is
        given does not fit the methods, see `require_fitting`.
    """
    require_fitting({name: _read_file(name) for name in split(value)}, options, given or {})


def require_fitting(known: Mapping[str, Facts], options: str, given: Mapping[str, Any]) -> None:
    """Refuses methods that contradict each other, or settings that contradict them.

    Args:
      known: the methods of a run, in their order.
      options: of --pruning_options.
      given: settings that have not their defaults.

    Raises:
      UserError: a method has to stand alone and does not, no method has an option, or the only
        method makes no use of a setting.
    """
    together = ",".join(known)
    for method, facts in known.items():
        if facts.alone and len(known) > 1:
            raise UserError(
                f"--pruning_method={together}: {method} cannot run beside others: {facts.alone}. "
                "Give it a run of its own."
            )
        for name in facts.unused:
            if name in given and len(known) == 1:
                raise UserError(
                    f"--{name}={given[name]}: does not come into --pruning_method={method}. "
                    "Leave it out."
                )
    own = {method: facts.options for method, facts in known.items() if facts.options is not None}
    if len(own) < len(known):
        return
    good = {name for names_of_one in own.values() for name in names_of_one}
    good |= {f"{method}.{name}" for method, names_of_one in own.items() for name in names_of_one}
    for name in parse_options(options):
        if name not in good:
            listed = ", ".join(
                f"{method}: {', '.join(sorted(names_of_one)) or 'none'}"
                for method, names_of_one in own.items()
            )
            raise UserError(
                f"--pruning_options={options}: no option {name!r}. Options of {listed}."
            )


def _read_file(name: str) -> Facts:
    """What the class of a method's file says of itself, as far as it is written as a literal."""
    paths = [pathlib.Path(folder) / f"{name}.py" for folder in _FOLDER]
    path = next((path for path in paths if path.is_file()), None)
    if name in _added:
        return Facts(None)
    if path is None:
        return Facts(frozenset())
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise UserError(f"{path}{f':{line}' if line else ''}: no Python ({error}).") from None
    found = _assigned(tree, "name")
    # What is computed there only running it can tell; `get` does.
    written = [value.value for value in found if isinstance(value, ast.Constant)]
    if len(written) == len(found) and name not in written:
        raise _misnamed(path, name, written)
    said: dict[str, Any] = {"options": {}}
    for attribute in ("options", "alone", "unused"):
        for value in _assigned(tree, attribute):
            try:
                said[attribute] = ast.literal_eval(value)
            except ValueError:
                said[attribute] = None
    options = said["options"]
    return Facts(
        None if options is None else frozenset({*COMMON_OPTIONS, *options}),
        said.get("alone") or "",
        said.get("unused") or (),
    )


def _aliases(name: str) -> tuple[str, ...]:
    if name in _added:
        return tuple(_added[name].aliases)
    path = pathlib.Path(_FOLDER[0]) / f"{name}.py"
    try:
        found = _assigned(ast.parse(path.read_bytes()), "aliases")
    except (OSError, SyntaxError, ValueError):
        return ()
    return tuple(alias for value in found for alias in ast.literal_eval(value))


def _assigned(tree: ast.Module, name: str) -> list[ast.expr]:
    """What the classes of a file assign to `name`."""
    return [
        item.value
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for item in node.body
        if isinstance(item, (ast.Assign, ast.AnnAssign)) and item.value is not None
        for target in getattr(item, "targets", None) or [getattr(item, "target", None)]
        if isinstance(target, ast.Name) and target.id == name
    ]


def _misnamed(path: object, name: str, found: list[Any]) -> UserError:
    listed = ", ".join(map(repr, found)) or "no name"
    return UserError(
        f"--pruning_method={name}: {path} must define one PruningMethod with name = {name!r}, as "
        f"the file is called (found: {listed})."
    )


def get(name: str) -> type[PruningMethod]:
    """The class of the method called `name`.

    Raises:
      UserError: there is no such method, or its file does not define exactly one method of the
        file's name.
    """
    _require_known(name)
    if name in _added:
        return _added[name]
    from bert_glue_tf.compression.method import PruningMethod

    if name == NO_PRUNING:
        return PruningMethod
    module = importlib.import_module(f"bert_glue_tf.pruning.{name}")
    methods = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, PruningMethod)
        and value.__module__ == module.__name__
    ]
    named = [method for method in methods if method.name == name]
    if len(named) != 1:
        raise _misnamed(module.__file__, name, [method.name for method in methods])
    return named[0]


def build(config: ExperimentConfig) -> PruningMethod:
    """The method of a run, or its methods as one, with their options.

    Raises:
      UserError: a file does not define its method, an option or its value cannot be used, or two
        methods contradict each other.
    """
    classes = [get(name) for name in split(config.pruning_method)]
    known = {
        method.name: Facts(
            frozenset({*COMMON_OPTIONS, *method.options}), method.alone, method.unused
        )
        for method in classes
    }
    require_fitting(known, config.pruning_options, config.given_pruning)
    given = parse_options(config.pruning_options)
    methods = []
    for method in classes:
        own: dict[str, Any] = {}
        for name in (*COMMON_OPTIONS, *method.options):
            text = given.get(f"{method.name}.{name}", given.get(name))
            if text is not None:
                own[name] = _value(method, name, text)
        methods.append(method(own))
    if len(methods) == 1:
        return methods[0]
    from bert_glue_tf.compression.combined import Combined

    return Combined(methods)


def _value(method: type[PruningMethod], name: str, text: str) -> Any:
    """An option's value, of its default's type."""
    wanted = float if name in COMMON_OPTIONS else type(method.options[name][0])
    try:
        value = wanted(text)
        if wanted is float and not math.isfinite(value):
            raise ValueError(text)
    except ValueError:
        kind = {int: "a whole number", float: "a number"}[wanted]
        raise UserError(f"--pruning_options: {name}={text}: must be {kind}.") from None
    if name == "final_sparsity" and not 0.0 <= value < 1.0:
        raise UserError(f"--pruning_options: {name}={text}: must be in [0, 1).")
    return value
