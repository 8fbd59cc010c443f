"""The defaults of a search; it imports nothing that takes time."""

from __future__ import annotations

import dataclasses

TRIES = 16  # Structures that are assembled and judged.


@dataclasses.dataclass(frozen=True)
class Effort:
    """The amount of texts that a search computes with.

    Attributes:
      examples: texts that levels are judged by, at most.
      tokens: word pieces of these texts, at most.
      fitted_tokens: word pieces of the texts that outputs are fitted on, at most.
    """

    examples: int = 512
    tokens: int = 12_000
    fitted_tokens: int = 32_000

    @classmethod
    def for_weights(cls, weights: int) -> Effort:
        """Return the effort for a network of so many weights in its layers.

        A large one is judged by fewer texts, so that a search takes minutes and not hours.
        """
        share = min(1.0, (1.1e7 / max(1, weights)) ** 0.5)
        plain = cls()
        return cls(
            plain.examples,
            max(1_000, round(plain.tokens * share)),
            max(4_000, round(plain.fitted_tokens * share)),
        )
