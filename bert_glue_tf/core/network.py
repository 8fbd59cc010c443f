"""A look, within seconds, at whether a host answers; imports nothing heavy."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request

from bert_glue_tf.core.errors import UserError


class UnreachableError(UserError):
    """Something that lies on the network is needed and cannot be reached.

    Attributes:
      what: `"data"` or `"encoder"`, so that the caller can append a command that
        would work here.
    """

    def __init__(self, message: str, what: str):
        super().__init__(message)
        self.what = what


def reachable(url: str, timeout: float = 4.0) -> bool:
    """Return whether a web server answers at `url`, through the environment's proxy if one is set.

    Any HTTP status counts, 404 included: the host is there. A certificate that does
    not verify, or a proxy that refuses the tunnel, counts as unreachable, because a
    download would fail the same way.

    Args:
      url: an http or https address.
      timeout: the whole answer's deadline in seconds.
    """
    answered = threading.Event()
    finished = threading.Event()

    def probe() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            # Not urlopen, whose opener keeps the proxies of its first call.
            with urllib.request.build_opener().open(request, timeout=timeout):
                answered.set()
        except urllib.error.HTTPError:
            answered.set()
        except Exception:
            # Whatever else goes wrong on the way (name, route, TLS, a server that
            # speaks no HTTP), the answer to the question asked is no.
            pass
        finally:
            finished.set()

    # The opener's own timeout covers neither getaddrinfo, which can block for half a
    # minute on a dead name server, nor the sum of several addresses. A daemon thread
    # is left behind without keeping the process alive.
    threading.Thread(target=probe, name="network-probe", daemon=True).start()
    finished.wait(timeout)
    return answered.is_set()
