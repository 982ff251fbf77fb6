"""The real thing: Kafka fetched, verified and trained, then a controller and three brokers started from it."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

import pytest

from kafkaprep.engine.cluster import install, properties, storage
from kafkaprep.engine.cluster.install import InstallProgress
from kafkaprep.engine.cluster.java import jvm_environment

BROKERS = (1, 2, 3)


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_kafka_is_installed_trained_and_starts_without_complaint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    from kafkaprep.engine.cluster.archive import _free_ports

    # The user's own cache, so that a second run fetches nothing; everything else is new, with a space and an é.
    monkeypatch.setenv("KAFKAPREP_STATE_DIR", str(tmp_path / "é x" / "state"))
    monkeypatch.setenv("LC_ALL", "C")
    notes: list[InstallProgress] = []
    there = install.install(notes.append, threading.Event())
    # Java below 25 has no use for an archive under a cache path with a space or an accent, and says so.
    assert there.archive is not None or any("No class archive: Java" in one.note for one in notes)
    again = install.installation()
    assert again == there

    folder = tmp_path / "é x" / "cluster"
    folder.mkdir(parents=True)
    log4j2 = folder / "log4j2.properties"
    log4j2.write_text(properties.log4j2_text())
    controller_port, *ports = _free_ports(1 + 2 * len(BROKERS))
    texts = {100: properties.controller_properties(folder=folder / "100", port=controller_port)}
    for index, broker in enumerate(BROKERS):
        texts[broker] = properties.broker_properties(
            broker,
            folder=folder / str(broker),
            controller_port=controller_port,
            internal_port=ports[2 * index],
            client_port=ports[2 * index + 1],
        )
    cluster_id = storage.random_id()
    bootstrap = storage.bootstrap_for(there.kafka_version, lambda: [str(there.java.path), "-cp", there.class_path])
    processes = []
    try:
        for node, text in texts.items():
            file = folder / f"{node}.properties"
            file.write_text(properties.properties_text(text))
            storage.lay_storage(folder / str(node), node, cluster_id, bootstrap if node == 100 else None)
            with (folder / f"{node}.log").open("wb") as log:
                processes.append(
                    subprocess.Popen(
                        properties.server_command(there, "test", file, log4j2=log4j2),
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        env=jvm_environment(),
                    )
                )
        admin = AdminClient(
            {"bootstrap.servers": ",".join(f"127.0.0.1:{port}" for port in ports[1::2]), "log_level": 0}
        )
        brokers: set[int] = set()
        deadline = time.monotonic() + 60
        while brokers != set(BROKERS) and time.monotonic() < deadline:
            assert all(process.poll() is None for process in processes)
            try:
                brokers = set(admin.list_topics(timeout=1).brokers)
            except KafkaException:
                time.sleep(0.1)
        assert brokers == set(BROKERS)
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait(10)
    complaints = [
        line
        for node in texts
        for line in (folder / f"{node}.log").read_text().splitlines()
        if ("WARN" in line or "ERROR" in line)
        # All four start at once: brokers call before the controller listens, and it says that it begins.
        and "could not be established" not in line
        and "Performing controller activation" not in line
    ]
    assert complaints == []
