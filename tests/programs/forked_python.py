"""Program: `python` for the shell of a test, forked from a process that has TensorFlow already.

Hands its arguments, environment, folder and the three standard streams to the socket that the
variable FORKED_PYTHON names (`snippet_shell.Shell` listens there), and ends with the status that it
is sent. It imports nothing that is slow.
"""

import json
import os
import socket
import sys


def main() -> int:
    """Ask for the process, wait for its end and return its status."""
    request = {
        "arguments": sys.argv[1:],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
    }
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ["FORKED_PYTHON"])
        socket.send_fds(connection, [b"!"], [0, 1, 2])
        connection.sendall(json.dumps(request).encode() + b"\n")
        return int(connection.makefile("r").readline())


if __name__ == "__main__":
    sys.exit(main())
