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
from collections.abc import Iterator, Mapping
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
_SLICES = 8
_PACED_SLICES = 20
_PACED = 150  # in each slice
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


class _Way:
    """A producer on one way, connected and warm, and what was measured with it in this round."""

    def __init__(self, bootstrap: str) -> None:
        from confluent_kafka import Producer

        self.took_s = 0.0
        self._failed: list[object] = []
        common = {"bootstrap.servers": bootstrap, "acks": "all", "log_level": 0}
        self._quick: Any = Producer({**common, "delivery.report.only.error": True})
        self._steady: Any = Producer({**common, "linger.ms": 0})
        self.send_all(10_000)
        self.send_paced(50)
        self.took_s = 0.0

    def send_all(self, messages: int) -> None:
        """As fast as it goes, until all are acknowledged."""
        producer = self._quick
        began = time.monotonic()
        for _ in range(messages):
            while True:
                try:
                    producer.produce(_TOPIC, _MESSAGE, on_delivery=self._report)
                    break
                except BufferError:
                    producer.poll(0.01)
        self._flush(producer)
        self.took_s += time.monotonic() - began

    def send_paced(self, messages: int) -> list[float]:
        """Send one after the other at a steady pace, without lingering; the milliseconds each took."""
        producer = self._steady
        latencies: list[float] = []
        due = time.monotonic()
        for _ in range(messages):
            self._send_timed(producer, latencies)
            due += _PACE_S
            while (left := due - time.monotonic()) > 0:
                producer.poll(left)
        self._flush(producer)
        return latencies

    def _send_timed(self, producer: Any, latencies: list[float]) -> None:
        began = time.monotonic()

        def reported(error: object, message: object) -> None:
            latencies.append((time.monotonic() - began) * 1000)
            self._report(error, message)

        producer.produce(_TOPIC, _MESSAGE, on_delivery=reported)

    def _report(self, error: object, _: object) -> None:
        if error is not None:
            self._failed.append(error)

    def _flush(self, producer: Any) -> None:
        if producer.flush(60) or self._failed:
            raise RuntimeError(f"not every message was acknowledged: {self._failed[:3]}")


def _in_turn(ways: Mapping[str, _Way], number: int) -> list[str]:
    return [*ways] if number % 2 else [*reversed([*ways])]


def _quiet(found: list[float]) -> float:
    return quantiles(found, n=4)[0]


def rows(installation: Installation, rounds: int) -> list[Row]:
    """Rounds of short slices, direct and proxied in turn, so that a slow second of the machine hits both.

    Latency is taken slice by slice, and of the slices the lower quartile: in the others something else was running.
    """
    ratios: list[float] = []
    rates: dict[str, list[float]] = {"direct": [], "proxied": []}
    middles: dict[str, list[float]] = {"direct": [], "proxied": []}
    tails: dict[str, list[float]] = {"direct": [], "proxied": []}
    with _ways(installation) as bootstraps:
        for _ in range(rounds + 1):
            ways = {"direct": _Way(bootstraps.direct), "proxied": _Way(bootstraps.proxied)}
            for number in range(_SLICES):
                for way in _in_turn(ways, number):
                    ways[way].send_all(_MESSAGES // _SLICES)
            for number in range(_PACED_SLICES):
                for way in _in_turn(ways, number):
                    cuts = quantiles(ways[way].send_paced(_PACED), n=100)
                    middles[way].append(cuts[49])
                    tails[way].append(cuts[98])
            ratios.append(ways["proxied"].took_s / ways["direct"].took_s)
            for name, measured in ways.items():
                rates[name].append(_MESSAGES / measured.took_s)
    for found in (ratios, *rates.values()):
        del found[0]  # the round that warmed the broker
    for found in (*middles.values(), *tails.values()):
        del found[:_PACED_SLICES]
    detail = {f"{name}_per_s": median(found) for name, found in rates.items()}
    latency = {f"{name}_p99_ms": _quiet(found) for name, found in tails.items()}
    latency |= {f"{name}_p50_ms": _quiet(found) for name, found in middles.items()}
    latency |= {f"{name}_median_p99_ms": median(found) for name, found in tails.items()}
    return [
        Row(
            "idle proxy: throughput, direct ÷ proxied",
            median(ratios),
            "the same broker directly",
            round(_GOAL_THROUGHPUT, 3),
            detail=detail,
        ),
        Row(
            "idle proxy: p99 latency, proxied − direct",
            latency["proxied_p99_ms"] - latency["direct_p99_ms"],
            "the same broker directly",
            _GOAL_LATENCY_MS,
            "ms",
            detail=latency,
        ),
    ]
