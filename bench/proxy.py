"""One producer against one broker, straight and through the idle proxy: throughput and latency.

The broker has a listener for each way, so both reach the same process, topic and log; INTERNAL advertises itself,
CLIENT the proxy. The proxy runs in a process of its own, as it does in the cluster host.
"""

from __future__ import annotations

import multiprocessing
import secrets
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from bench.row import Row
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
from kafkaprep.engine.proxy.server import ProxyServer

_TOPIC = "bench"
_MESSAGES = 1_000_000
_MESSAGE = b"x" * 100
_PACED = 3000
_PACE_S = 0.001
_GOAL_THROUGHPUT = 1 / 0.85
_GOAL_LATENCY_MS = 1.0


@dataclass(frozen=True, slots=True)
class _Ways:
    direct: str
    proxied: str


def _serve(port: int, upstream: int, parent: Connection) -> None:
    proxy = ProxyServer({CONTROLLER_ID: (port, upstream)})
    proxy.start()
    parent.send(True)
    parent.recv()
    proxy.stop()
    parent.send(time.process_time())


@contextmanager
def _ways(installation: Installation) -> Iterator[_Ways]:
    """A broker and its proxy; both end with the context."""
    nonce = secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="kafkaprep-bench-") as scratch:
        folder = Path(scratch) / "node"
        folder.mkdir()
        (folder / MARKER_FILE).write_text(nonce)
        block = PortBlock(4)
        controller, internal, client, proxy_port = block.ports
        properties = single_node_properties(
            folder=folder / "log", controller_port=controller, internal_port=internal, client_port=client
        )
        properties["advertised.listeners"] = f"INTERNAL://{HOST}:{internal},CLIENT://{HOST}:{proxy_port}"
        (folder / "server.properties").write_text(properties_text(properties), encoding="ascii")
        log4j2 = folder / "log4j2.properties"
        log4j2.write_text(log4j2_text(), encoding="ascii")
        bootstrap = bootstrap_for(installation.kafka_version, list)
        lay_storage(folder / "log", CONTROLLER_ID, random_id(), bootstrap)
        guardian = Guardian(nonce, Path(scratch) / "journal.json", log=Path(scratch) / "guardian.log", folders=[folder])
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        block.release()
        server = context.Process(target=_serve, args=(proxy_port, client, theirs))
        server.start()
        try:
            ours.recv()
            command = server_command(installation, nonce, folder / "server.properties", log4j2=log4j2)
            guardian.spawn("broker", command, cwd=folder, stderr=folder / "log.txt", env=jvm_environment())
            inspector = Inspector(f"{HOST}:{internal}", threading.Event())
            inspector.await_brokers([CONTROLLER_ID], 60)
            inspector.create_topic(_TOPIC, [[CONTROLLER_ID]], {"retention.bytes": str(256 * 1024 * 1024)})
            yield _Ways(f"{HOST}:{internal}", f"{HOST}:{proxy_port}")
        finally:
            ours.send(True)
            server.join(10)
            guardian.close()


def _producer(bootstrap: str, **settings: object) -> Any:
    from confluent_kafka import Producer

    return Producer({"bootstrap.servers": bootstrap, "acks": "all", "log_level": 0, **settings})


def _throughput(bootstrap: str, messages: int = _MESSAGES) -> float:
    """Acknowledged messages a second."""
    failed: list[object] = []

    def reported(error: object, _: object) -> None:
        failed.append(error)

    producer = _producer(bootstrap, **{"delivery.report.only.error": True})
    producer.list_topics(_TOPIC, timeout=10)
    began = time.monotonic()
    for _ in range(messages):
        while True:
            try:
                producer.produce(_TOPIC, _MESSAGE, on_delivery=reported)
                break
            except BufferError:
                producer.poll(0.01)
    if producer.flush(60) or failed:
        raise RuntimeError(f"not every message was acknowledged: {failed[:3]}")
    return messages / (time.monotonic() - began)


def _latencies_ms(bootstrap: str) -> tuple[float, float]:
    """The median and the 99th percentile from `produce` to the report, at a steady pace without lingering."""
    producer = _producer(bootstrap, **{"linger.ms": 0})
    producer.list_topics(_TOPIC, timeout=10)
    found: list[float] = []

    def send() -> None:
        began = time.monotonic()
        producer.produce(_TOPIC, _MESSAGE, on_delivery=lambda error, _: found.append(time.monotonic() - began))

    due = time.monotonic()
    for _ in range(_PACED):
        send()
        due += _PACE_S
        while (left := due - time.monotonic()) > 0:
            producer.poll(left)
    producer.flush(30)
    cuts = quantiles(found, n=100)
    return cuts[49] * 1000, cuts[98] * 1000


def rows(installation: Installation, rounds: int) -> list[Row]:
    """Interleaved rounds in changing order, after one of each that warms the broker."""
    rates: dict[str, list[float]] = {"direct": [], "proxied": []}
    middles: dict[str, list[float]] = {"direct": [], "proxied": []}
    tails: dict[str, list[float]] = {"direct": [], "proxied": []}
    with _ways(installation) as ways:
        both = [("direct", ways.direct), ("proxied", ways.proxied)]
        for _, bootstrap in both:
            _throughput(bootstrap, _MESSAGES // 2)
        for number in range(rounds):
            for name, bootstrap in both if number % 2 else reversed(both):
                rates[name].append(_throughput(bootstrap))
                middle, tail = _latencies_ms(bootstrap)
                middles[name].append(middle)
                tails[name].append(tail)
    detail = {f"{name}_per_s": median(found) for name, found in rates.items()}
    latency = {f"{name}_p99_ms": median(found) for name, found in tails.items()}
    latency |= {f"{name}_p50_ms": median(found) for name, found in middles.items()}
    return [
        Row(
            "idle proxy: throughput, direct ÷ proxied",
            median(rates["direct"]) / median(rates["proxied"]),
            "the same broker directly",
            round(_GOAL_THROUGHPUT, 3),
            detail=detail,
        ),
        Row(
            "idle proxy: p99 latency, proxied − direct",
            median(tails["proxied"]) - median(tails["direct"]),
            "the same broker directly",
            _GOAL_LATENCY_MS,
            "ms",
            detail=latency,
        ),
    ]
