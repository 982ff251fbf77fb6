"""The proxy before a real broker: what a real producer then finds in the log."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from ours import soon

from kafkaprep.engine.cluster.inspect import Inspector
from kafkaprep.engine.cluster.install import Installation
from kafkaprep.engine.cluster.java import jvm_environment
from kafkaprep.engine.cluster.ports import PortBlock
from kafkaprep.engine.cluster.properties import (
    CONTROLLER_ID,
    HOST,
    log4j2_text,
    properties_text,
    server_command,
    single_node_properties,
)
from kafkaprep.engine.cluster.storage import bootstrap_for, lay_storage, random_id
from kafkaprep.engine.process import MARKER_FILE, Guardian
from kafkaprep.engine.proxy.frames import API_KEYS
from kafkaprep.engine.proxy.rules import Action, Rule
from kafkaprep.engine.proxy.server import ProxyServer

pytestmark = pytest.mark.kafka

LONG_S = 30.0
PRODUCE = API_KEYS["Produce"]
CLIENT = "proxy-test"


@dataclass(frozen=True, slots=True)
class Node:
    """A broker that can be reached through the proxy and past it."""

    proxy: ProxyServer
    proxied: str
    direct: str


@pytest.fixture(scope="module")
def node(kafka_installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    nonce = uuid.uuid4().hex
    folder = tmp_path_factory.mktemp("node")
    (folder / MARKER_FILE).write_text(nonce)
    block = PortBlock(3)
    controller, internal, client = block.ports
    proxy = ProxyServer({CONTROLLER_ID: (0, client)})
    advertised = proxy.ports[CONTROLLER_ID]
    properties = single_node_properties(
        folder=folder / "log", controller_port=controller, internal_port=internal, client_port=client
    )
    properties["advertised.listeners"] = f"INTERNAL://{HOST}:{internal},CLIENT://{HOST}:{advertised}"
    (folder / "server.properties").write_text(properties_text(properties), encoding="ascii")
    (folder / "log4j2.properties").write_text(log4j2_text(), encoding="ascii")
    lay_storage(folder / "log", CONTROLLER_ID, random_id(), bootstrap_for(kafka_installation.kafka_version, list))
    guardian = Guardian(nonce, folder / "journal.json", log=folder / "guardian.log")
    try:
        block.release()
        proxy.start()
        command = server_command(
            kafka_installation, nonce, folder / "server.properties", log4j2=folder / "log4j2.properties"
        )
        guardian.spawn("broker", command, cwd=folder, stderr=folder / "server.log", env=jvm_environment())
        Inspector(f"{HOST}:{internal}", threading.Event()).await_brokers([CONTROLLER_ID], 2 * LONG_S)
        yield Node(proxy, f"{HOST}:{advertised}", f"{HOST}:{internal}")
    finally:
        proxy.stop()
        guardian.close()


@pytest.fixture
def topic(node: Node) -> Iterator[str]:
    """A topic of one partition; the proxy is without rules before and after."""
    name = f"proxy-{uuid.uuid4().hex[:8]}"
    Inspector(node.direct, threading.Event()).create_topic(name, [[CONTROLLER_ID]], {})
    yield name
    node.proxy.clear()


class Sender:
    """A producer through the proxy; `warm` has been acknowledged when it is made."""

    def __init__(self, node: Node, topic: str, **settings: object) -> None:
        self.reports: list[tuple[bytes, str]] = []
        self._topic = topic
        self._producer: Any = Producer(
            {
                "bootstrap.servers": node.proxied,
                "client.id": CLIENT,
                "linger.ms": 0,
                "log_level": 0,
                "retry.backoff.ms": 50,
                **{name.replace("_", "."): value for name, value in settings.items()},
            }
        )
        self.send(b"warm")

    def send(self, *values: bytes) -> None:
        """Send and wait for every report."""
        for value in values:
            self._producer.produce(self._topic, value, on_delivery=self._report)
        assert self._producer.flush(LONG_S) == 0

    def _report(self, error: object, message: Any) -> None:
        self.reports.append((message.value(), "" if error is None else str(error)))


def log_of(node: Node, topic: str) -> list[bytes]:
    """The values in the log, read past the proxy."""
    consumer = Consumer({"bootstrap.servers": node.direct, "group.id": topic, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    values: list[bytes] = []
    try:
        while (message := consumer.poll(LONG_S)) is not None:
            if message.error():
                return values
            values.append(message.value() or b"")
        raise AssertionError("the end of the log was not reached")
    finally:
        consumer.close()


@pytest.mark.parametrize(("idempotent", "stored"), [(False, [b"warm", b"A", b"A"]), (True, [b"warm", b"A"])])
def test_a_lost_answer_makes_a_copy_unless_the_producer_is_idempotent(
    node: Node, topic: str, idempotent: bool, stored: list[bytes]
) -> None:
    sender = Sender(node, topic, enable_idempotence=idempotent)
    rule_id = node.proxy.add_rule(Rule(Action.DROP_RESPONSE, api=PRODUCE, client=CLIENT, to_nth=1, close=True))
    sender.send(b"A")
    counts = node.proxy.counters()[rule_id]
    assert (counts.acted, counts.dropped, counts.closed, counts.matched) == (1, 1, 1, 2)
    assert sender.reports == [(b"warm", ""), (b"A", "")]
    assert log_of(node, topic) == stored


def test_a_lost_request_is_sent_again(node: Node, topic: str) -> None:
    sender = Sender(node, topic, socket_timeout_ms=1000)
    rule_id = node.proxy.add_rule(Rule(Action.DROP_REQUEST, api=PRODUCE, client=CLIENT, to_nth=1))
    sender.send(b"A")
    assert node.proxy.counters()[rule_id].dropped == 1
    assert log_of(node, topic) == [b"warm", b"A"]


def test_without_acks_a_swallowed_request_is_lost_and_reported_delivered(node: Node, topic: str) -> None:
    sender = Sender(node, topic, acks=0)
    rule_id = node.proxy.add_rule(Rule(Action.DROP_REQUEST, api=PRODUCE, client=CLIENT, to_nth=1))
    sender.send(b"A")
    assert node.proxy.await_count(rule_id, 1, LONG_S)
    sender.send(b"B")
    assert node.proxy.remove(rule_id).matched >= 1
    assert sender.reports == [(b"warm", ""), (b"A", ""), (b"B", "")]
    assert b"A" not in log_of(node, topic)


@pytest.mark.parametrize(("idempotent", "stored"), [(False, [b"warm", b"A", b"A"]), (True, [b"warm", b"A"])])
def test_a_held_request_lands_after_its_retry(node: Node, topic: str, idempotent: bool, stored: list[bytes]) -> None:
    sender = Sender(node, topic, enable_idempotence=idempotent)
    rule_id = node.proxy.add_rule(Rule(Action.HOLD, api=PRODUCE, client=CLIENT, to_nth=1, close=True))
    sender.send(b"A")
    assert log_of(node, topic) == [b"warm", b"A"]
    before = node.proxy.connected()
    assert node.proxy.release(rule_id) == 1
    # The broker ends the abandoned connection when it has served the last request on it.
    soon(lambda: node.proxy.connected() < before, "the held request was not served")
    counts = node.proxy.counters()[rule_id]
    assert (counts.held, counts.released, counts.closed, counts.dropped) == (1, 1, 1, 0)
    assert log_of(node, topic) == stored


def test_a_refused_producer_says_so_and_recovers(node: Node, topic: str) -> None:
    sender = Sender(node, topic, message_timeout_ms=1000)
    rule_id = node.proxy.add_rule(Rule(Action.REFUSE, close=True))
    sender.send(b"A")
    assert node.proxy.remove(rule_id).acted >= 1
    sender.send(b"B")
    assert [value for value, error in sender.reports if error] == [b"A"]
    assert log_of(node, topic) == [b"warm", b"B"]
