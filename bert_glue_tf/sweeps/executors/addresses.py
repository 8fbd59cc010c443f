"""Addresses of Dask schedulers: which are good, and whether one answers there."""

from __future__ import annotations

import asyncio
import concurrent.futures
import re

from bert_glue_tf.core.errors import UserError, reason_of

_ADDRESS = re.compile(r"tcp://(?:[\w.-]+|\[[\da-fA-F:.]+\]):\d{1,5}")
LOCAL = re.compile(r"local:([1-9]\d{0,3})")
GOOD = (
    "Good: --cluster=tcp://HOST:8786, the address that `dask scheduler` prints, or "
    "--cluster=local:3 for three workers on this machine; docs/cluster.md has the commands"
)


def check(cluster: str) -> None:
    """Check the value of --cluster, and that what it needs is installed.

    Raises:
      UserError: it is no address, or Dask is not installed.
    """
    if not (_ADDRESS.fullmatch(cluster) or LOCAL.fullmatch(cluster)):
        raise UserError(f"--cluster={cluster}: no address of a scheduler. {GOOD}.")
    try:
        import distributed  # noqa: F401  (A part of the extra `cluster`.)
    except ImportError:
        raise UserError(
            f"--cluster={cluster}: needs dask and distributed, which are not installed. Good: "
            "pip install -c constraints.txt '.[cluster]'."
        ) from None


def require(cluster: str, seconds: float) -> None:
    """Check that a scheduler answers, where one is to be there already.

    Args:
      cluster: value of --cluster, which `check` has found good.
      seconds: in which it has to answer.

    Raises:
      UserError: nothing answers there, or something else.
    """
    if LOCAL.fullmatch(cluster):
        return
    try:
        greet(cluster, seconds)
    except Exception as error:  # What another protocol answers is read as anything.
        raise UserError(
            f"--cluster={cluster}: no scheduler answers there within {seconds:g} seconds "
            f"({reason_of(error)}). {GOOD}."
        ) from None


def greet(address: str, seconds: float) -> None:
    """Connect to a scheduler and part again.

    A client of Dask waits without an end for a server that takes the connection and says nothing,
    as that of another protocol does.

    Raises:
      OSError, TimeoutError: nothing answers as a part of a Dask cluster does.
    """
    import distributed.comm

    async def meet() -> None:
        made = distributed.comm.connect(address, timeout=seconds)
        comm = await asyncio.wait_for(made, seconds)
        await comm.close()

    # In a thread, since a notebook has a loop that runs in this one.
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(meet())).result()
