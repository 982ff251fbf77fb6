"""Ports are held until released, and are free for a JVM the moment after."""

from __future__ import annotations

import socket

import pytest

from kafkaprep.engine.cluster.ports import PortBlock, is_listening


def bind(port: int) -> socket.socket:
    """What a JVM does: SO_REUSEADDR, bind, listen."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind(("127.0.0.1", port))
        server.listen(1)
    except OSError:
        server.close()
        raise
    return server


def test_a_block_holds_distinct_ports_until_it_is_released() -> None:
    block = PortBlock(7)
    try:
        assert len(set(block.ports)) == 7
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", block.ports[0]))
        assert not is_listening(block.ports[0])
    finally:
        block.release()
    for port in block.ports:
        with bind(port):
            assert is_listening(port)
    block.release()


def test_two_blocks_never_share_a_port() -> None:
    one, two = PortBlock(20), PortBlock(20)
    one.release()
    two.release()
    assert not set(one.ports) & set(two.ports)


def test_a_closed_port_does_not_listen(free_port: int) -> None:
    assert not is_listening(free_port)


def test_a_port_connected_to_itself_does_not_listen(free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may choose the target as the source port of the probe; the connect then succeeds."""
    connect = socket.socket.connect_ex

    def from_the_same_port(self: socket.socket, address: tuple[str, int]) -> int:
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.bind(address)
        answer = connect(self, address)
        connected.append(answer == 0)
        return answer

    connected: list[bool] = []
    monkeypatch.setattr(socket.socket, "connect_ex", from_the_same_port)
    assert not is_listening(free_port)
    assert connected == [True]
