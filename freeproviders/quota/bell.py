"""How processes of a machine say that something was given back: by datagrams to 127.0.0.1.

A datagram says nothing but "look again". One that is lost, or that a foreign program has sent, costs
no more than a look.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_HERE: Final = "127.0.0.1"


class Bell:
    """A port of this process, on which it is told to look again. Raises `OSError` without one."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._stopped = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((_HERE, 0))
            self.port: int = self._socket.getsockname()[1]
            threading.Thread(target=self._listen, name="freeproviders-quota-bell", daemon=True).start()
        except BaseException:
            self._socket.close()
            raise

    def stop(self) -> None:
        """Give the port back."""
        self._stopped = True
        ring(self.port)

    def _listen(self) -> None:
        with self._socket:
            while not self._stopped:
                with suppress(OSError):  # Windows tells so of a port that is no more
                    self._socket.recv(16)
                if not self._stopped:
                    self._wake()


def ring(port: int) -> None:
    """Tell the process with a port; one that is no more hears nothing."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bell:
        bell.settimeout(0)
        bell.sendto(b"!", (_HERE, port))
