"""The protocol of every pruning method; the base class itself is the no-op `none`.

The orchestrator calls, in this order and with no `if prune`:

    method = pruning.build(config)
    start = method.reshape(start)               # before the model is built
    model = method.prepare(model, context)      # before compile
    optimizer = method.wrap_optimizer(optimizer)
    method.learn_from(gradients)
    model.fit(..., callbacks=method.callbacks())
    model = method.finalize(model)              # plain layers, zeros in place or cut out

A method that ranks weights by a score derives from `masked.MaskedPruning`.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.compression.removed import Removed
from bert_glue_tf.core import lazy

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    import tf_keras

    from bert_glue_tf.compression.gradients import Gradients
    from bert_glue_tf.compression.hooks import HookedOptimizer
    from bert_glue_tf.compression.schedule import PruningContext
    from bert_glue_tf.compression.sizes import Sizes
    from bert_glue_tf.compression.start import Start
else:
    np = lazy.module("numpy")  # Any command that has settings imports this module.
    tf = lazy.module("tensorflow")

# Name -> (default, what it is).
Options = Mapping[str, tuple[Any, str]]


class PruningMethod:
    """One way of pruning, and, as it stands, the way that prunes nothing.

    A method is one file of the folder `pruning` with one subclass whose `name` is the file's. All
    but those that cut before the training pass `tests/pruning/test_pruning_contract.py`.

    Args:
      options: name -> value, those of `options_for` that differ from their defaults.
    """

    name = NO_PRUNING
    # Other names by which --pruning_method knows it; a run has the method's own.
    aliases: tuple[str, ...] = ()
    # The method's own settings: name -> (default, what it is). A value has the default's type.
    options: Options = types.MappingProxyType({})
    # Those of `options` whose value is the name of another method.
    method_options: tuple[str, ...] = ()
    # Why it stands alone and not beside other methods; empty if it does not.
    alone = ""
    # What it needs of the encoder besides variables (`models.parts.CAPABILITIES`).
    needs: tuple[str, ...] = ()
    # True: what can be cut out of the network is cut out at the end of the training.
    shrinks = False
    # Why it cannot prune before the first step, after the method's name; empty if it can. Where all
    # goes at once, gradients are measured then, and nothing has to wait for them.
    waits = ""
    # The only schedule that it has; empty where --pruning_schedule says it.
    schedule = ""
    # Settings that do not come into it: in a run of its own they have to keep their defaults.
    unused: tuple[str, ...] = ()
    # The option with which more does not come into it (`unused_with`).
    why_unused = ""
    # False: what it removes follows from something else, and no sparsity comes into it.
    takes_sparsity = True
    # What its sparsity is a fraction of, where that is not the matrices of --pruning_scope.
    part = ""
    # What its sparsity means, where that is not the share of the scope's weights that go at the
    # end of a schedule: a clause that follows its name and a colon. Tables that compare methods
    # show it.
    sparsity_note = ""
    # What it prunes, for a table, where its record does not name the pruned weights.
    prunes = ""
    # False: all that it prunes has one sparsity, and parts of the network have none of their own.
    # Where no part of a network comes in at all, region_sparsities is among `unused` instead.
    takes_regions = True
    # True: its units may be ranked anew after each epoch by what the weights are then, and grow
    # back in between (--pruning_schedule=soft).
    can_be_soft = False
    # True: one set of weights holds several networks (`sizes`).
    has_sizes = False
    # How many times the learning rate's schedule runs through within the training.
    cycles = 1

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        given = dict(options or {})
        # None: as --final_sparsity says.
        self.final_sparsity: float | None = given.pop("final_sparsity", None)
        known = self.options_for({name: str(value) for name, value in given.items()})
        self.settings = {name: default for name, (default, _) in known.items()} | given

    @classmethod
    def unused_with(cls, texts: Mapping[str, str]) -> tuple[str, ...]:
        """Return `unused`, and what does not come into it with these options.

        Args:
          texts: name -> value of its own options, those that are given.
        """
        del texts
        return cls.unused

    @classmethod
    def options_for(cls, given: Mapping[str, str]) -> Options:
        """Return the method's own settings, which may depend on those that are given.

        Args:
          given: settings of this method, as --pruning_options has them.
        """
        del given
        return cls.options

    def check_settings(self) -> None:
        """Refuse values of the method's own settings that are good for no encoder.

        Called as soon as the method is built, before an encoder is loaded.

        Raises:
          UserError: names the setting, its value and good ones.
        """

    @classmethod
    def is_structure(cls) -> bool:
        """Tell whether `admm` can go towards its masks: those of its units, by their L2 norm."""
        return False

    def on_replicas(self) -> PruningMethod:
        """Return a method that does the same on several replicas; called before all others."""
        return self

    def context(self, context: PruningContext) -> PruningContext:
        """Return the context with the method's own final sparsity, where it has one."""
        if self.final_sparsity is None:
            return context
        return context.with_sparsity(self.final_sparsity)

    def last_step(self, context: PruningContext) -> int:
        """Return the step, counted from 1, that reaches the final sparsity; 0 = before the first.

        Args:
          context: of the run.
        """
        return context.reached

    def reshape(self, start: Start) -> Start:
        """Return the `Start` to build the model from; may cut what never trains."""
        return start

    def prepare(self, model: tf_keras.Model, context: PruningContext) -> tf_keras.Model:
        """Return the model to train; called under the strategy's scope, before compile."""
        del context
        return model

    def wrap_optimizer(self, optimizer: HookedOptimizer) -> HookedOptimizer:
        """Return the optimizer to train with; may add to its hooks."""
        return optimizer

    def learn_from(self, gradients: Gradients) -> None:
        """Take the training examples, whose gradients a method may ask for when it prunes."""

    def callbacks(self) -> list[tf_keras.callbacks.Callback]:
        """Return the Keras callbacks that drive the method; they run before the evaluation."""
        return []

    def state(self) -> tf.train.Checkpoint:
        """Return what a training that goes on has to find again: masks, scores, its step."""
        return tf.train.Checkpoint()

    def record(self) -> dict[str, Any]:
        """Return what a run's record says of the pruning besides settings and schedule.

        Each value is a dict by the name of the method, so that those of several stand side by side.
        """
        return {}

    def pruned_weights(self, model: tf_keras.Model) -> Mapping[str, tf.Variable]:
        """Return what the method prunes of a prepared or a finalized model: name -> weight."""
        del model
        return {}

    def sparsities(self, model: tf_keras.Model) -> dict[str, float]:
        """Return the fraction of zeros of each pruned weight, by name, as it stands in training."""
        return {name: zero_fraction(weight) for name, weight in self.pruned_weights(model).items()}

    def measure(self, model: tf_keras.Model) -> Removed:
        """Return what is pruned at the end of the training, before `finalize` cuts anything out."""
        weights = self.pruned_weights(model)
        sparsities = self.sparsities(model)
        sizes = {name: int(np.prod(weights[name].shape)) for name in sparsities}
        return Removed(
            sparsities=sparsities,
            pruned=sum(round(value * sizes[name]) for name, value in sparsities.items()),
            prunable=sum(sizes.values()),
        )

    def sizes(self) -> Sizes | None:
        """Return the networks that the method holds in one set of weights; None where it is one.

        Asked for after `prepare`.
        """
        return None

    def finalize(self, model: tf_keras.Model) -> tf_keras.Model:
        """Return a model of plain layers, where pruned weights are exactly zero or cut out."""
        return model


def zero_fraction(weight: tf.Variable) -> float:
    """Return the fraction of elements that are exactly zero."""
    values = weight.numpy()
    return float(np.count_nonzero(values == 0) / values.size)
