"""Bytes and energy of shared weights: of positions, of weights that stand once, of switches.

Networks that are parts of one set of weights (`compression.sizes`) need the positions of each one's
weights beside the values. Networks that are kept apart have their values several times, and a
device that switches between them reads the next one from where they lie and writes it over the one
that computes. Means and variances of batch normalization are each network's own in both cases.

The second report ("Cloud Computing Final Report") says from which sparsity sharing pays, 4 % on the
CPU of a microcontroller and 20 % on its vector unit (LEA), both for LeNet-5, and prints no formula.
Both numbers would follow from one reading, which is our inference: an index of a weight's width for
each group of weights that is kept or left out together costs `1 / (weights of a group)` of what
they take, and leaving weights out saves their share, the sparsity. A kernel of 5 x 5, which a CPU
goes through at once, gives 1 / 25; a row of 5, which the vector unit multiplies at once, 1 / 5
(`pays_from`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

# Bits of a run length, as of fully connected layers in Han et al. 2016, "Deep compression",
# section 2 (https://arxiv.org/abs/1510.00149). They store a zero as the weight of a filler; here
# one code is that of a filler, which has no weight, and the others say 1 to 31.
RUN_BITS = 5


@dataclasses.dataclass(frozen=True)
class Medium:
    """The rate and the energy at which a memory is read or written.

    Attributes:
      bytes_per_second: of its rate.
      joules_per_byte: of its energy.
    """

    bytes_per_second: float
    joules_per_byte: float

    def seconds(self, size: float) -> float:
        """Return the time of so many bytes."""
        return size / self.bytes_per_second

    def joules(self, size: float) -> float:
        """Return the energy of so many bytes."""
        return size * self.joules_per_byte


# The report's measurements: 1.2 MB are read in 1 s with 1.47 mJ, 1.3 MB written with 1.51 mJ.
READ = Medium(1.2e6, 1.47e-3 / 1.2e6)
WRITE = Medium(1.3e6, 1.51e-3 / 1.3e6)


def pays_from(index_bits: float, weight_bits: int, group: int = 1) -> float:
    """Return the sparsity from which weights that are left out save more than positions cost.

    Args:
      index_bits: of the position of a group of weights, whether it is kept or not.
      weight_bits: of one weight.
      group: weights that are kept or left out together.
    """
    return index_bits / (group * weight_bits)


def bitmap_bytes(weights: int, networks: int) -> int:
    """Return the bytes of the numbers of each weight's smallest network, or that none has it.

    Args:
      weights: how many there are.
      networks: how many there are; a number takes the bits that tell so many and one more apart.
    """
    return -(-weights * max(1, networks.bit_length()) // 8)


def run_length_bytes(first: np.ndarray, networks: int, run_bits: int = RUN_BITS) -> int:
    """Return the bytes of the positions of what each network adds, as lengths of runs.

    The masks of what the networks add are disjoint (M_h and M_hm in the report), so that each
    weight has one run length: the step from the one before it in its mask. A step that is longer
    than a length can say has fillers before it, for each of which one code stands.

    Args:
      first: uint8, the number of the smallest network that has each weight, or `networks`.
      networks: how many there are.
      run_bits: of a length.
    """
    flat, longest, fields = first.reshape(-1), 2**run_bits - 1, 0
    for number in range(networks):
        places = np.flatnonzero(flat == number)
        steps = np.diff(places, prepend=-1)
        # A filler stands for `longest` weights of which none is kept.
        fields += int(np.sum(1 + (steps - 1) // longest))
    return -(-fields * run_bits // 8)


@dataclasses.dataclass(frozen=True)
class Account:
    """The bytes of networks of shared weights, and of the same networks kept apart.

    Attributes:
      names: of the networks, from the smallest on.
      kept: number of the weights that each network keeps of those that may be left out.
      prunable: how many those are.
      others: number of the other weights of a network, its own among them.
      own: number of the weights that each network has of its own, as means and variances of batch
        normalization.
      weight_bits: of one weight.
      bitmap: bytes of the positions as bitmaps.
      run_lengths: bytes of the positions as run lengths.
      run_lengths_apart: the same of each network alone.
    """

    names: tuple[str, ...]
    kept: tuple[int, ...]
    prunable: int
    others: int
    own: int
    weight_bits: int
    bitmap: int
    run_lengths: int
    run_lengths_apart: tuple[int, ...]

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        first: Mapping[str, np.ndarray],
        weights: int,
        own: int = 0,
        weight_bits: int = 32,
    ) -> Account:
        """Count the weights and positions of a run's networks.

        Args:
          names: of the networks, from the smallest on.
          first: name of a weight -> uint8, the number of its smallest network, or their number.
          weights: number of the whole model's.
          own: number of those that each network has of its own.
          weight_bits: of one weight.
        """
        networks, arrays = len(names), list(first.values())
        counts = np.sum(
            [np.bincount(one.reshape(-1), minlength=networks + 1) for one in arrays], axis=0
        )
        prunable = int(counts.sum())
        return cls(
            names=tuple(names),
            kept=tuple(int(one) for one in np.cumsum(counts)[:networks]),
            prunable=prunable,
            others=weights - prunable,
            own=own,
            weight_bits=weight_bits,
            bitmap=sum(bitmap_bytes(one.size, networks) for one in arrays),
            run_lengths=sum(run_length_bytes(one, networks) for one in arrays),
            run_lengths_apart=tuple(
                sum(run_length_bytes((one > number).astype(np.uint8), 1) for one in arrays)
                for number in range(networks)
            ),
        )

    @property
    def index(self) -> int:
        """The bytes of the positions in the smaller of both forms."""
        return min(self.bitmap, self.run_lengths)

    def values(self, number: int) -> int:
        """Return the bytes of the weights that a network has, without positions."""
        return (self.kept[number] + self.others) * self.weight_bits // 8

    @property
    def own_bytes(self) -> int:
        """The bytes of what one network has of its own: a switch rewrites them."""
        return self.own * self.weight_bits // 8

    @property
    def loaded(self) -> int:
        """The bytes of the densest one's weights and of the positions of each."""
        return self.values(len(self.names) - 1) + self.index

    @property
    def shared(self) -> int:
        """The bytes of all networks: those of `loaded`, and what the others have of their own."""
        return self.loaded + (len(self.names) - 1) * self.own_bytes

    @property
    def apart(self) -> int:
        """The bytes of the networks one by one: each has its weights and their positions."""
        return sum(self.alone(number) for number in range(len(self.names)))

    def alone(self, number: int) -> int:
        """Return the bytes of one network that is kept apart, positions in the smaller form."""
        index = min(bitmap_bytes(self.prunable, 1), self.run_lengths_apart[number])
        return self.values(number) + index

    @property
    def saved(self) -> int:
        """The bytes of weights that need not be kept twice, before positions count."""
        return sum(self.values(number) - self.own_bytes for number in range(len(self.names) - 1))

    @property
    def pays_from(self) -> float:
        """The sparsity of the densest network from which its zeros pay for all positions."""
        return self.pays_from_bytes(self.index)

    def pays_from_bytes(self, index: int) -> float:
        """Return the same for positions of so many bytes."""
        return min(1.0, index * 8 / (self.prunable * self.weight_bits))


@dataclasses.dataclass(frozen=True)
class Switches:
    """The bytes, energy and time of a device that goes through a run's networks again and again.

    Attributes:
      count: of the switches.
      apart_bytes: that are rewritten where the networks are kept apart.
      shared_bytes: where they share their weights.
      apart_joules: of energy, the first network's loading included.
      shared_joules: where they share their weights.
      apart_seconds: of reading and writing, the first loading included.
      shared_seconds: where they share their weights.
    """

    count: int
    apart_bytes: int
    shared_bytes: int
    apart_joules: float
    shared_joules: float
    apart_seconds: float
    shared_seconds: float


def switches(account: Account, counts: Sequence[int]) -> list[Switches]:
    """Return what so many switches cost, from the smallest network to the next larger and so on.

    A switch between networks that are kept apart reads the next one and writes it; one between
    networks that share their weights does so with what the next one has of its own, and with no
    other weight. Before the first one the smallest network is loaded, or all weights with their
    positions.

    Args:
      account: of the networks.
      counts: numbers of switches.
    """
    size = [account.alone(number) for number in range(len(account.names))]
    found = []
    for count in counts:
        visited = [size[number % len(size)] for number in range(1, count + 1)]
        moved = sum(visited)
        own = count * account.own_bytes
        apart, shared = size[0] + moved, account.loaded + own
        found.append(
            Switches(
                count=count,
                apart_bytes=moved,
                shared_bytes=own,
                apart_joules=READ.joules(apart) + WRITE.joules(apart),
                shared_joules=READ.joules(shared) + WRITE.joules(shared),
                apart_seconds=READ.seconds(apart) + WRITE.seconds(apart),
                shared_seconds=READ.seconds(shared) + WRITE.seconds(shared),
            )
        )
    return found
