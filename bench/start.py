"""Cold start to the first acknowledged message, CPU time and memory: our four JVMs against one stock broker."""

from __future__ import annotations

import threading
import time
from statistics import median

import psutil

from bench.opponent import stock_broker
from bench.row import Row
from kafkaprep.engine.cluster.inspect import Inspector
from kafkaprep.engine.cluster.install import Installation
from kafkaprep.engine.cluster.local import LocalCluster, running_host
from kafkaprep.engine.waiting import wait_until

_STOP = threading.Event()


def _first_acked(bootstrap: str, topic: str) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 0, "log_level": 0})
    failed: list[object] = []
    producer.produce(topic, b"first", on_delivery=lambda error, _: failed.append(error) if error else None)
    if producer.flush(30) or failed:
        raise RuntimeError(f"the first message was not acknowledged: {failed}")


def _cost(pids: list[int]) -> tuple[float, float]:
    """CPU seconds and proportional memory (MB) of the processes."""
    cpu = memory = 0.0
    for pid in pids:
        process = psutil.Process(pid)
        times = process.cpu_times()
        cpu += times.user + times.system
        memory += process.memory_full_info().pss / 1e6
    return cpu, memory


def _ours(installation: Installation) -> tuple[float, float, float]:
    wait_until(lambda: running_host() is None, 30, _STOP, "A cluster is running; take it down first.")
    cluster = LocalCluster(installation)
    began = time.monotonic()
    try:
        cluster.start(lambda _: None, _STOP)
        inspector = Inspector(cluster.bootstrap, _STOP)
        inspector.await_brokers(cluster.brokers, 60)
        inspector.create_topic("kafkaprep-bench", [list(cluster.brokers)], {})
        _first_acked(cluster.bootstrap, "kafkaprep-bench")
        took = time.monotonic() - began
        return took, *_cost([node.pid for node in cluster.status() if node.pid])
    finally:
        cluster.close()
        wait_until(lambda: running_host() is None, 30, _STOP, "The cluster does not end.")


def _stock(installation: Installation) -> tuple[float, float, float]:
    with stock_broker(installation) as broker:
        began = time.monotonic()
        child = broker.start()
        inspector = Inspector(f"127.0.0.1:{broker.port}", _STOP)
        inspector.await_brokers([1], 60)
        inspector.create_topic("bench", [[1]], {})
        _first_acked(f"127.0.0.1:{broker.port}", "bench")
        return time.monotonic() - began, *_cost([child.pid])


def rows(installation: Installation, rounds: int) -> list[Row]:
    """Interleaved rounds, so that a slow minute of the machine hits both."""
    ours: list[tuple[float, float, float]] = []
    stock: list[tuple[float, float, float]] = []
    for _ in range(rounds):
        ours.append(_ours(installation))
        stock.append(_stock(installation))

    def middle(measured: list[tuple[float, float, float]], column: int) -> float:
        return median(each[column] for each in measured)

    opponent = "one stock broker"
    detail = {
        "ours_s": middle(ours, 0),
        "stock_s": middle(stock, 0),
        "ours_cpu_s": middle(ours, 1),
        "stock_cpu_s": middle(stock, 1),
    }
    return [
        Row("cold start to the first acked message", middle(ours, 0) / middle(stock, 0), opponent, 1.25, detail=detail),
        Row(
            "memory of the four JVMs (PSS)",
            middle(ours, 2) / middle(stock, 2),
            opponent,
            2.0,
            detail={"ours_mb": middle(ours, 2), "stock_mb": middle(stock, 2)},
        ),
    ]
