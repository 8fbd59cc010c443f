"""Names of models: what each was asked for, and every setting in which the compared ones differ.

A name is a list of settings with ", " between them, where alone it may be broken into lines:

    no pruning, int8
    pruned: magnitude 80 %, scope=all, ranking=global, int8
    pruned: attention_head 50 %, block 30 % (block=4x4), keras, learning_rate=5e-05

Of six models and more, names leave out the values that most of them have.
"""

from __future__ import annotations

import collections
import decimal
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from bert_glue_tf.compression import described
from bert_glue_tf.reports.measured import BUT_PRUNING, Model
from bert_glue_tf.runs.config import PRUNING, short
from bert_glue_tf.runs.settings import START, TEACHING

SEPARATOR = ", "
# Settings of the pruning that stand behind each method's own name.
_BEHIND_METHODS = ("pruning_options", "final_sparsity")
# What tells figures and tables apart already, or is judged by its content.
_BY_CONTENT = ("task", "encoder", "data")
_ALL_EXAMPLES = ("train_examples", 0)
_TEACHER, _QUANTIZE_AWARE = "teacher", "quantize_aware"
_FEW = 5  # So many names are short enough with all that tells them apart.
_NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


def names(models: Sequence[Model]) -> tuple[list[str], list[str]]:
    """Return a name for each model, which tells it from the others of its task and encoder.

    Args:
      models: one for each name, all of the same task, source of the data and encoder.

    Returns:
      The names, and the settings that they leave out since most of the models have them.
    """
    usual = _usual(models)
    found = _names(models, usual)
    if not usual or len(set(found)) < len(models):
        return _names(models, {}), []
    told: dict[str, str] = {}
    for model, mine in zip(models, map(_told, models), strict=True):
        for name, value in usual.items():
            if name in mine and mine[name] == value:
                told.setdefault(name, _said(name, value, model, models))
    return found, [told[name] for name in usual]


def _usual(models: Sequence[Model]) -> dict[str, Any]:
    """Return the settings in which models differ and more than half of them have one value."""
    settings = [_told(model) for model in models]
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for mine in settings for name in mine):
        values = [mine[name] for mine in settings if name in mine]
        (value, count), *others = collections.Counter(values).most_common()
        if others and len(models) > _FEW and 2 * count > len(models):
            found[name] = value
    return found


def _names(models: Sequence[Model], left_out: Mapping[str, Any]) -> list[str]:
    """Return the names; of `left_out`, setting -> value, no name tells the value."""
    asked = [model.prunings for model in models]
    settings = [_told(model) for model in models]
    recipes = {model.recipe for model in models}
    found = []
    for model, own, mine in zip(models, asked, settings, strict=True):
        parts = [_method(one, asked) for one in own] or ["no pruning"]
        if own:
            parts[0] = f"pruned: {parts[0]}"
        parts += [f"size {model.size}"] if model.size else []
        telling = {
            name: _said(name, value, model, models)
            for name, value in mine.items()
            if any(_tells(name, value, other) for other in settings)
            and (name not in left_out or left_out[name] != value)
        }
        parts += [text for name, text in telling.items() if name in PRUNING]
        parts += [model.recipe] if len(recipes) > 1 else []
        parts += [text for name, text in telling.items() if name not in PRUNING]
        parts += _contents(model, models)
        found.append(SEPARATOR.join(parts))
    return found


def differing(one: Model, other: Model) -> dict[str, tuple[Any, Any]]:
    """Return the settings but the pruning's in which two models differ: name -> both values.

    Data, encoder and teacher count by their content, and are called by their place.
    """
    found = {
        name: (one.config[name], other.config[name])
        for name, value in one.deciding.items()
        if _tells(name, value, other.deciding) and name not in (*BUT_PRUNING, *_BY_CONTENT)
    }
    if (one.encoder, one.encoder_digest) != (other.encoder, other.encoder_digest):
        found["encoder"] = one.config["encoder"], other.config["encoder"]
    if (one.source, one.digests) != (other.source, other.digests):
        found["data"] = one.config["data"], other.config["data"]
    return found


def percent(fraction: float) -> str:
    """Return a fraction with all the digits that it was given: `80 %`, `33.3 %`."""
    value = (decimal.Decimal(repr(fraction)) * 100).normalize()
    return f"{value:f} %"


def _method(one: described.Pruning, asked: Sequence[Sequence[described.Pruning]]) -> str:
    """Return a method with its sparsity, and the options that differ among its models."""
    text = one.method if one.sparsity is None else f"{one.method} {percent(one.sparsity)}"
    same = [other for some in asked for other in some if other.method == one.method]
    telling = [
        f"{name}={value}"
        for name, value in one.options.items()
        if any(_tells(name, value, other.options) for other in same)
    ]
    return f"{text} ({' '.join(telling)})" if telling else text


def _told(model: Model) -> dict[str, Any]:
    """Return the settings that a name may say, apart from those behind each method."""
    left_out = ("seed", "pruning_method", *_BY_CONTENT, *_BEHIND_METHODS)
    return {name: value for name, value in model.deciding.items() if name not in left_out}


def _tells(name: str, value: Any, other: Mapping[str, Any]) -> bool:
    return name in other and other[name] != value


def _said(name: str, value: Any, model: Model, models: Sequence[Model]) -> str:
    """Return a setting with its value.

    Args:
      name: of the setting.
      value: of this model.
      model: whose setting it is.
      models: all that are named.
    """
    short_name = name.removeprefix("pruning_")
    if value == "" and name in TEACHING:
        return f"no {short_name}"
    if name == _TEACHER:
        return _teacher(model, models)
    if name == _QUANTIZE_AWARE:
        return f"quantize-aware {value}" if model.is_quantize_aware else "not quantize-aware"
    return f"{short_name}={_text(name, value)}"


def _teacher(model: Model, models: Sequence[Model]) -> str:
    """Return a model's teacher: by its folder's name alone, unless another one has the same."""
    place = str(model.config[_TEACHER])
    if place == START:  # The run that it starts from, of which other settings tell.
        return f"teacher={START}"
    others = {str(o.config[_TEACHER]) for o in models if o.teacher not in ("", model.teacher)}
    if place in others:
        return f"teacher sha256={model.teacher[:8]}"
    is_alone = short(place) not in map(short, others)
    return f"teacher={_unbroken(short(place) if is_alone else place)}"


def _text(name: str, value: Any) -> str:
    return "all" if (name, value) == _ALL_EXAMPLES else _unbroken(str(value))


def _contents(model: Model, models: Sequence[Model]) -> list[str]:
    """Return data and encoder where others of the same name have other contents."""
    found = []
    others = [other for other in models if other.digests != model.digests]
    if others:
        is_told = all(other.config["data"] != model.config["data"] for other in others)
        content = hashlib.sha256(json.dumps(model.digests, sort_keys=True).encode()).hexdigest()
        place = _unbroken(str(model.config["data"]))
        found.append(f"data={place}" if is_told else f"data sha256={content[:8]}")
    if any(other.encoder_digest != model.encoder_digest for other in models):
        found.append(f"encoder sha256={model.encoder_digest[:8]}")
    return found


def _unbroken(value: str) -> str:
    """Return a value at whose spaces no line ends, and which no separator divides."""
    return value.replace(" ", _NO_BREAK_SPACE)
