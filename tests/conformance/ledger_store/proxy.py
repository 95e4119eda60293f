"""A way to a server on which one answer can be lost."""

import socket
import threading
from contextlib import suppress

_CHUNK = 65536


class Proxy:
    """Passes bytes both ways; drops the next answer after `lose_next`, and the connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._losing = threading.Event()
        self.lost = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._listener.getsockname()[1]}"

    def lose_next(self) -> None:
        self._losing.set()

    def close(self) -> None:
        # A listener that is only closed leaves the thread in accept().
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            _end(each)
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._sockets += [client, server]
                for source, target, is_answer in ((client, server, False), (server, client, True)):
                    thread = threading.Thread(target=self._pass, args=(source, target, is_answer))
                    self._threads.append(thread)
                    thread.start()

    def _pass(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:  # noqa: FBT001
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                # An acknowledgement; the server's own pings may come before it.
                if is_answer and self._losing.is_set() and b'"seq"' in data:
                    self._losing.clear()
                    self.lost.set()
                    break
                target.sendall(data)
        _end(source)
        _end(target)


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
