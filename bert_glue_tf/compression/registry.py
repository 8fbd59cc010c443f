"""The list of the pruning methods, and the way from a run's settings to its method.

A file `<method>.py` in the folder `pruning` is the method of that name: nothing else has to be
told about it. What a method says of itself its class says, and its file is imported for it. That
takes milliseconds, since no method's file needs TensorFlow before it prunes, so that a wrong
`--pruning_method` is answered at once.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from bert_glue_tf.compression.method import Options, PruningMethod
from bert_glue_tf.compression.names import NO_PRUNING, SOFT
from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    from bert_glue_tf.models.backbone import Backbone

# What every method has of its own, instead of the flag of that name.
COMMON_OPTIONS: Options = {"final_sparsity": (0.0, "instead of --final_sparsity")}
# The package of the methods, which is the list of them.
_PACKAGE = "bert_glue_tf.pruning"

_added: dict[str, type[PruningMethod]] = {}


def _files() -> set[str]:
    folders = importlib.import_module(_PACKAGE).__path__
    return {module.name for module in pkgutil.iter_modules(folders)}


def names() -> list[str]:
    """Return the names of all methods: `none`, the files' and what `register` added."""
    return [NO_PRUNING, *sorted(_files() | set(_added))]


def register(method: type[PruningMethod]) -> type[PruningMethod]:
    """Add a method that lives outside the folder (a notebook's cell, say); a class decorator.

    Raises:
      ValueError: the name belongs to a method of the folder.
    """
    if method.name in _files() | {NO_PRUNING} or _method_called(method.name) != method.name:
        raise ValueError(f"pruning method {method.name!r} exists already; choose another name")
    _added[method.name] = method
    return method


def split(value: str) -> tuple[str, ...]:
    """Return the methods that --pruning_method names, in their order.

    A name that is unknown here is passed on, since a finished run may have been pruned by a method
    of another machine or of a notebook; `check` and `build` refuse it for a run that is to be made.

    Args:
      value: `attention_head,magnitude`, where each may have another one of its names.

    Raises:
      UserError: one is named twice, or is `none` beside others.
    """
    found = tuple(canonical(part.strip()) for part in value.split(","))
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
    return name if name in names() else _method_called(name)


def _method_called(alias: str) -> str:
    return next((n for n in names() if _says(n, lambda method: alias in method.aliases)), alias)


def canonical_options(text: str) -> str:
    """Return a text of --pruning_options in which each method has its own name.

    A value is a method's name only where a method says so (`method_options`): elsewhere, as in
    `initial=magnitude`, it stays as it is.
    """
    if not text:
        return text  # So that settings without options import no method.
    naming = {option for name in names() for option in _options_naming_methods(name)}
    parts = []
    for part in text.split(" "):
        name, sign, value = part.partition("=")
        method, dot, option = name.rpartition(".")
        value = canonical(value) if option in naming else value
        parts.append(f"{canonical(method) if dot else ''}{dot}{option}{sign}{value}")
    return " ".join(parts)


def _options_naming_methods(name: str) -> Sequence[str]:
    try:
        return get(name).method_options
    except UserError:  # A file that is broken is told of where its method is asked for.
        return ()


def is_known(name: str) -> bool:
    """Tell whether there is a method called `name`, without importing its file."""
    return name in names()


def _require_known(name: str) -> None:
    if not is_known(name):
        raise UserError(
            f"--pruning_method={name}: no such method. Good values: {', '.join(names())}, "
            "or several with commas between them."
        )


def parse_options(text: str) -> dict[str, str]:
    """Return `rounds=3 attention_head.final_sparsity=0.5` as a dict.

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


def get(name: str) -> type[PruningMethod]:
    """Return the class of the method called `name`.

    Raises:
      UserError: there is no such method, its file cannot be imported, or does not define exactly
        one method of the file's name.
    """
    _require_known(name)
    if name in _added:
        return _added[name]
    if name == NO_PRUNING:
        return PruningMethod
    module = _imported(name)
    methods = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, PruningMethod)
        and value.__module__ == module.__name__
    ]
    named = [method for method in methods if method.name == name]
    if len(named) != 1:
        found = [repr(method.name) for method in methods if method.name != NO_PRUNING]
        raise UserError(
            f"--pruning_method={name}: {module.__file__} must define one PruningMethod with "
            f"name = {name!r}, as the file is called (found: {', '.join(found) or 'no name'})."
        )
    return named[0]


def of_finished(name: str) -> type[PruningMethod]:
    """Return the class of a finished run's method, to describe it and never to prune by it.

    One that is not installed (it was registered in a notebook, or its file has another name by
    now) has its name and what the protocol says of a method that says nothing of itself.

    Raises:
      UserError: its file cannot be imported, or does not define it.
    """
    return get(name) if is_known(name) else type(name, (PruningMethod,), {"name": name})


def structures() -> list[str]:
    """Return the names of the methods whose masks `admm` can go towards."""
    return [name for name in names() if _says(name, lambda method: method.is_structure())]


def soft_names() -> list[str]:
    """Return the names of the methods that --pruning_schedule=soft lets prune as they stand."""

    def may(method: type[PruningMethod]) -> bool:
        return method().can_be_soft and not method.has_sizes

    return [name for name in names() if _says(name, may)]


def names_for(backbone: Backbone) -> list[str]:
    """Return the names of the methods that an encoder can carry, without `none`."""
    return names_by(lambda capability: not backbone.why_not(capability))


def names_by(able: Callable[[str], bool]) -> list[str]:
    """Return the names of the methods, without `none`, that need only what there is.

    Args:
      able: capability (`models.parts.CAPABILITIES`) -> whether there may be an encoder with it.
    """
    return [
        name
        for name in names()
        if name != NO_PRUNING and _says(name, lambda method: all(map(able, method.needs)))
    ]


def _says(name: str, question: Callable[[type[PruningMethod]], bool]) -> bool:
    try:
        return question(get(name))
    except UserError:  # A file that is broken is told of where its method is asked for.
        return False


def _imported(name: str) -> Any:
    """Return the module of a method's file."""
    module = f"{_PACKAGE}.{name}"
    try:
        return importlib.import_module(module)
    except UserError:
        raise
    except SyntaxError as error:
        raise UserError(f"{error.filename}:{error.lineno}: no Python ({error}).") from None
    except Exception as error:  # Of a file that somebody has written: it is theirs to mend.
        found = importlib.util.find_spec(module)
        raise UserError(
            f"--pruning_method={name}: {found.origin if found else module} cannot be imported "
            f"({type(error).__name__}: {error})."
        ) from error


def check(value: str, options: str = "", given: Mapping[str, Any] | None = None) -> None:
    """Refuse methods, or settings of theirs, that cannot be used; without TensorFlow.

    Args:
      value: of --pruning_method.
      options: of --pruning_options.
      given: settings that have not their defaults.

    Raises:
      UserError: as `build`.
    """
    _build([get(name) for name in split(value)], options, given or {})


class Prunes(Protocol):
    """The settings of a run that say by which methods it prunes: part of `PruningSettings`."""

    @property
    def pruning_method(self) -> str: ...
    @property
    def pruning_options(self) -> str: ...
    @property
    def given_pruning(self) -> Mapping[str, Any]: ...


def build(config: Prunes) -> PruningMethod:
    """Return the method of a run, or its methods as one, with their options.

    Raises:
      UserError: a file does not define its method, an option or its value cannot be used, or two
        methods contradict each other.
    """
    classes = list(map(get, split(config.pruning_method)))
    methods = _build(classes, config.pruning_options, config.given_pruning)
    if len(methods) == 1:
        return methods[0]
    from bert_glue_tf.compression import combined

    return combined.Combined(methods)


def _build(
    classes: Sequence[type[PruningMethod]], options: str, given: Mapping[str, Any]
) -> list[PruningMethod]:
    """Return the methods of a run, in their order; the arguments are those of `check`."""
    _require_fitting(classes)
    parsed = parse_options(options)
    own = [own_texts(method, parsed) for method in classes]
    _require_used(classes, own, given)
    known = [
        {**COMMON_OPTIONS, **method.options_for(texts)}
        for method, texts in zip(classes, own, strict=True)
    ]
    _require_options(classes, known, options)
    methods = [
        method(
            {
                name: _value(name, text, good[name][0])
                for name, text in texts.items()
                if name in good
            }
        )
        for method, texts, good in zip(classes, own, known, strict=True)
    ]
    for built in methods:
        built.check_settings()
        if given.get("pruning_schedule") == SOFT and not built.can_be_soft:
            raise UserError(
                f"--pruning_schedule={SOFT}: lets weights grow back and ranks them anew by their "
                f"magnitude, and --pruning_method={built.name} does not rank by that. Good: "
                f"{', '.join(soft_names())}; or --pruning_schedule=gradual."
            )
        regions = given.get("region_sparsities")
        if regions and not built.takes_regions:
            raise UserError(
                f"--region_sparsities={regions}: --pruning_method={built.name} has one sparsity "
                "for all that it prunes. Leave it out, or choose a method that ranks each matrix "
                "by itself, as magnitude."
            )
    return methods


def own_texts(method: type[PruningMethod], options: Mapping[str, str]) -> dict[str, str]:
    """Return the options that are meant for one method: its own `method.name` before `name`.

    Args:
      method: one of the run's.
      options: as `parse_options` returns them.
    """
    return {
        name.removeprefix(f"{method.name}."): value
        for name, value in sorted(options.items(), key=lambda item: "." in item[0])
        if "." not in name or name.startswith(f"{method.name}.")
    }


def _require_fitting(classes: Sequence[type[PruningMethod]]) -> None:
    """Refuse methods that contradict each other."""
    together = ",".join(method.name for method in classes)
    for method in classes:
        if method.alone and len(classes) > 1:
            raise UserError(
                f"--pruning_method={together}: {method.name} cannot run beside others: "
                f"{method.alone}. Give it a run of its own."
            )


def _require_used(
    classes: Sequence[type[PruningMethod]],
    own: Sequence[Mapping[str, str]],
    given: Mapping[str, Any],
) -> None:
    """Refuse settings that the only method has no use for; `own` are the options of each."""
    if len(classes) != 1:
        return
    (method,), (texts,) = classes, own
    for name in method.unused_with(texts):
        if name in given:
            always = name in method.unused
            why = "" if always else f" with {method.why_unused}"
            raise UserError(
                f"--{name}={given[name]}: does not come into --pruning_method={method.name}{why}. "
                "Leave it out."
            )


def _require_options(
    classes: Sequence[type[PruningMethod]], known: Sequence[Options], options: str
) -> None:
    """Refuse an option that no method has; `known` are those of each."""
    own = {method.name: good for method, good in zip(classes, known, strict=True)}
    good = {name for of_one in own.values() for name in of_one}
    good |= {f"{method}.{name}" for method, of_one in own.items() for name in of_one}
    for name in parse_options(options):
        if name not in good:
            unused = {method.name: set(method.unused) for method in classes}
            listed = ", ".join(
                f"{method}: {', '.join(sorted(of_one.keys() - unused[method])) or 'none'}"
                for method, of_one in own.items()
            )
            raise UserError(
                f"--pruning_options={options}: no option {name!r}. Options of {listed}."
            )


def _value(name: str, text: str, default: Any) -> Any:
    """Return an option's value, of its default's type."""
    wanted = type(default)
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
