"""Frames by hand, a broker that answers them, and a client that sends them."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress

from kafkaprep.engine.proxy.frames import API_KEYS

LONG_S = 5.0


def request(
    correlation: int, body: bytes = b"", *, api: str = "Metadata", client: str | None = "app", version: int = 1
) -> bytes:
    """A request frame with a header of version 1."""
    name = struct.pack(">h", -1) if client is None else struct.pack(">h", len(client.encode())) + client.encode()
    payload = struct.pack(">hhi", API_KEYS[api], version, correlation) + name + body
    return struct.pack(">i", len(payload)) + payload


def produce(correlation: int, body: bytes = b"", *, acks: int = -1, client: str = "app", version: int = 9) -> bytes:
    """A Produce frame of any version, without a transactional id."""
    # From 9 on: no tagged fields, null as a compact string. From 3 on: null as a string.
    start = b"\x00\x00" if version >= 9 else b"\xff\xff" if version >= 3 else b""
    return request(correlation, start + struct.pack(">h", acks) + body, api="Produce", client=client, version=version)


def response(correlation: int, body: bytes = b"ok") -> bytes:
    return struct.pack(">ii", len(body) + 4, correlation) + body


def frames_of(connection: socket.socket) -> Iterator[bytes]:
    """The payloads that arrive, until the connection ends however it ends. Reads nothing beyond a frame."""
    with suppress(OSError, EOFError):
        while True:
            (length,) = struct.unpack(">i", _exactly(connection, 4))
            yield _exactly(connection, length)


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return bytes(data)


class Broker:
    """Appends the body of every request to `log`, in order of arrival, and answers with the correlation id."""

    def __init__(self) -> None:
        self.log: list[int] = []  # correlation ids
        self.payloads: list[bytes] = []
        self.reading = threading.Event()
        self.reading.set()
        self.answering = True
        self.ended = 0  # connections that the other side has ended
        self.changed = threading.Condition()
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads.append(threading.Thread(target=self._accept))
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            self.reading.wait()
            for payload in frames_of(connection):
                key, _, correlation, named = struct.unpack_from(">hhih", payload)
                with self.changed:
                    self.log.append(correlation)
                    self.payloads.append(payload)
                    self.changed.notify_all()
                body = payload[10 + max(0, named) :]
                if self.answering and not (key == 0 and body[2:4] == b"\x00\x00"):
                    with suppress(OSError):
                        connection.sendall(response(correlation))
        with self.changed:
            self.ended += 1
            self.changed.notify_all()

    def await_log(self, *correlations: int) -> None:
        """Wait until exactly these have arrived, in this order."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.log) >= len(correlations), LONG_S), self.log
            assert self.log == list(correlations)

    def await_ended(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.ended >= count, LONG_S)

    def say(self, data: bytes) -> None:
        """Send bytes of our own on the newest connection."""
        self._connections[-1].sendall(data)

    def reset(self) -> None:
        """End the newest connection with RST."""
        newest = self._connections[-1]
        newest.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        newest.shutdown(socket.SHUT_RD)
        newest.close()

    def close(self) -> None:
        self.reading.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LONG_S)


class Client:
    """Sends frames and reads answers; what it waits for must come soon."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=LONG_S)

    def send(self, *frames: bytes) -> None:
        self.socket.sendall(b"".join(frames))

    def answer(self) -> int:
        """The correlation id of the next answer."""
        payload = next(frames_of(self.socket), None)
        assert payload is not None, "the connection ended"
        return int(struct.unpack_from(">i", payload)[0])

    def answers(self, count: int) -> list[int]:
        return [self.answer() for _ in range(count)]

    def is_silent(self, for_s: float = 0.05) -> bool:
        """Whether nothing comes, not even an end."""
        self.socket.settimeout(for_s)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(LONG_S)
        return False

    def end(self) -> str:
        """How the connection ends after all answers: `closed` or `reset`."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            return "reset"
        return "closed"

    def close(self) -> None:
        self.socket.close()
