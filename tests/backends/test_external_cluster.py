"""A lab on somebody's own cluster, as full of other people's things as one is: they stay as they were."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec  # type: ignore[attr-defined]
from ours import soon

from kafkaprep import paths
from kafkaprep.catalog.labs import parse_lab
from kafkaprep.engine.cluster.choose import fit
from kafkaprep.engine.cluster.external import ExternalCluster
from kafkaprep.engine.plan import make_plan
from kafkaprep.engine.run import run
from kafkaprep.engine.saved_run import open_run
from kafkaprep.errors import ClusterError, RunStopped
from kafkaprep.model.history import Event, EventName
from kafkaprep.model.lab import Lab
from kafkaprep.model.settings import Settings
from kafkaprep.model.verdict import Outcome

pytestmark = pytest.mark.kafka

STOP = threading.Event()
OTHERS = "orders"
ALIKE = "kafkaprep-of-somebody-else"  # bears our prefix, and we have not made it
LAB = """\
format_version: 1
title: T
stage: producer
kind: exhibit
goal: G?
cluster: {brokers: 3, partitions: 2}
traffic: {messages: 200, keys: 4}
start: {consumer: {session.timeout.ms: "6000"}, topic: {retention.ms: "600000"}}
exhibit: [{producer: {acks: all}, outcome: kept}]
script: [send: 100, await: all_reported, await: consumer_caught_up, kill: consumer, send: rest, await: all_reported]
promises: [all_arrive, no_reported_loss]
predict: "?"
hints: [H]
debrief: D
sources: [S]
"""


@pytest.fixture
def lab() -> Lab:
    return parse_lab("own-cluster", LAB.encode(), "own-cluster.yaml")


@pytest.fixture
def admin(cluster_bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": cluster_bootstrap, "log_level": 0})


@pytest.fixture
def others(admin: AdminClient, cluster_bootstrap: str) -> Iterator[None]:
    """Topics with messages and configurations, and groups with committed offsets, that are not ours."""
    names = (OTHERS, ALIKE)
    topics = [NewTopic(name, 2, 3, config={"retention.ms": "86400000", "cleanup.policy": "compact"}) for name in names]
    for made in admin.create_topics(topics).values():
        made.result(20)
    producer = Producer({"bootstrap.servers": cluster_bootstrap})
    for name in names:
        for number in range(50):
            producer.produce(name, f"{number}", key=f"{number}")
    assert producer.flush(20) == 0
    for name in names:
        consumer = Consumer({"bootstrap.servers": cluster_bootstrap, "group.id": name, "enable.auto.commit": False})
        consumer.commit(offsets=[TopicPartition(name, 0, 7), TopicPartition(name, 1, 3)], asynchronous=False)
        consumer.close()
    yield
    for gone in admin.delete_topics(list(names)).values():
        gone.result(20)
    for left in admin.delete_consumer_groups(list(names)).values():
        left.result(20)


def everything(admin: AdminClient) -> str:
    """All topics with configurations and bounds, all groups with their offsets, all brokers' settings; as one text."""
    known = admin.list_topics(timeout=10)
    names = sorted(known.topics)
    partitions = [TopicPartition(name, one) for name in names for one in sorted(known.topics[name].partitions)]
    resources = [ConfigResource("topic", name) for name in names]
    resources += [ConfigResource("broker", str(broker)) for broker in sorted(known.brokers)]
    configs = {
        f"{resource.restype} {resource.name}": sorted(
            (each.name, each.value) for each in admin.describe_configs([resource])[resource].result(10).values()
        )
        for resource in resources
    }
    bounds: dict[str, list[int]] = {}
    for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):  # type: ignore[no-untyped-call]
        for one, future in admin.list_offsets(dict.fromkeys(partitions, spec)).items():
            if not one.topic.startswith("__"):  # ours are gone from there, but its log grows by that
                bounds.setdefault(f"{one.topic} {one.partition}", []).append(future.result(10).offset)
    groups: dict[str, Any] = {}
    for group in sorted(each.group_id for each in admin.list_consumer_groups().result(10).valid):
        (future,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]).values()
        found = future.result(10).topic_partitions
        groups[group] = sorted((one.topic, one.partition, one.offset, one.metadata) for one in found)
    layout = {
        name: [(one.id, one.replicas) for _, one in sorted(known.topics[name].partitions.items())] for name in names
    }
    return json.dumps({"layout": layout, "configs": configs, "bounds": bounds, "groups": groups}, sort_keys=True)


def started(bootstrap: str, said: list[str] | None = None) -> ExternalCluster:
    cluster = ExternalCluster(bootstrap)
    cluster.start((said if said is not None else []).append, STOP)
    return cluster


def records() -> list[Path]:
    return sorted(paths.writable("state", "external").glob("*"))


def test_a_lab_leaves_everything_else_as_it_was(
    cluster_bootstrap: str, admin: AdminClient, others: None, lab: Lab, tmp_path: Path
) -> None:
    login = tmp_path / "client.properties"
    login.write_text("security.protocol=PLAINTEXT\nsasl.password=hunter2hunter2\n")
    before = everything(admin)
    said: list[str] = []
    external = ExternalCluster(cluster_bootstrap, login)
    external.start(said.append, STOP)
    plan, changed = fit(lab, make_plan(lab, Settings()), external)
    assert changed == ""
    folder = run(plan, external, None, STOP)
    external.close()
    saved = open_run(folder)
    assert (saved.outcome, saved.void) == (Outcome.KEPT, None), saved.document()
    assert saved.document()["cluster"] == {"backend": "external", "version": "unknown", "brokers": 3}
    assert saved.view == ""
    soon(lambda: everything(admin) == before, "something is left, or something else was touched")
    assert records() == []
    written = [each for each in (*folder.iterdir(), *paths.writable("state").rglob("*")) if each.is_file()]
    assert not [each for each in written if b"hunter2" in each.read_bytes()], "the secret is on disk"
    assert str(login) in (folder / "producer-0.spec.json").read_text()
    assert "hunter2" not in "".join(said)
    assert not [text for text in said if "could not be removed" in text]


def test_a_run_that_is_stopped_takes_its_topic_away(
    cluster_bootstrap: str, admin: AdminClient, others: None, lab: Lab
) -> None:
    before = everything(admin)
    stop = threading.Event()
    external = started(cluster_bootstrap)
    plan = make_plan(lab, Settings())
    seen: list[bool] = []

    def listener(event: Event) -> None:
        if event.event is EventName.STEP_DONE:
            seen.append(plan.topic in admin.list_topics(timeout=10).topics)
            stop.set()

    with pytest.raises(RunStopped):
        run(plan, external, listener, stop)
    assert seen == [True]
    soon(lambda: plan.topic not in admin.list_topics(timeout=10).topics, "the topic is left")

    def swept() -> bool:
        """The group goes once its killed member's session has ended; until then the record says what is left."""
        started(cluster_bootstrap).close()
        return records() == []

    soon(swept, "the group is left")
    soon(lambda: everything(admin) == before, "something is left, or something else was touched")


def test_what_a_killed_run_left_is_removed_when_the_cluster_is_reached_again(
    cluster_bootstrap: str, admin: AdminClient, others: None
) -> None:
    before = everything(admin)
    external = started(cluster_bootstrap)
    topic = f"kafkaprep-own-cluster-{uuid.uuid4().hex[:16]}"
    inspector = external.inspector(STOP)
    inspector.place_group(topic, external.brokers)
    inspector.create_topic(topic, [[1, 2, 3]], {})
    (record,) = records()
    started(cluster_bootstrap)  # while its maker lives, it stays
    assert records() == [record]
    soon(lambda: topic in admin.list_topics(timeout=10).topics, "the topic is gone, or no broker has learnt of it")
    record.write_text(json.dumps({**json.loads(record.read_text()), "created": 1.0}))
    said: list[str] = []
    started(cluster_bootstrap, said)
    assert said[-1] == f"Removed {topic}, which an earlier run had left."
    assert records() == []
    soon(lambda: everything(admin) == before, "something is left, or something else was touched")


def test_a_topic_that_was_there_before_is_refused_and_kept(
    cluster_bootstrap: str, admin: AdminClient, lab: Lab
) -> None:
    plan = make_plan(lab, Settings())
    admin.create_topics([NewTopic(plan.topic, 1, 1)])[plan.topic].result(20)
    soon(lambda: plan.topic in admin.list_topics(timeout=10).topics, "the topic does not appear")
    try:
        with pytest.raises(ClusterError, match="exists already, and kafkaprep uses only what it made"):
            run(plan, started(cluster_bootstrap), None, STOP)
        assert plan.topic in admin.list_topics(timeout=10).topics
        assert records() == []
    finally:
        admin.delete_topics([plan.topic])[plan.topic].result(20)


@pytest.mark.parametrize("name", [OTHERS, ALIKE, "__consumer_offsets"])
def test_no_act_reaches_a_name_that_is_not_ours(
    cluster_bootstrap: str, admin: AdminClient, others: None, name: str
) -> None:
    before = everything(admin)
    external = started(cluster_bootstrap)
    inspector = external.inspector(STOP)
    inspector.delete_topic(name)
    inspector.delete_group(name)
    inspector.elect_preferred(name, [0])
    inspector.settle_offsets_topic(external.brokers)
    with pytest.raises(ClusterError):
        inspector.create_topic(name, [[1]], {})
    record = paths.writable("state", "external") / "forged.json"
    record.write_text(json.dumps({"cluster": admin.list_topics(timeout=10).cluster_id, "topic": name, "group": name,
                                  "pid": 1, "created": 1.0}))  # fmt: skip
    started(cluster_bootstrap)
    record.unlink()
    assert everything(admin) == before


def test_a_cluster_of_one_broker_lowers_the_replication(cluster_bootstrap: str, lab: Lab) -> None:
    external = started(cluster_bootstrap)
    external.brokers = external.brokers[:1]
    plan, changed = fit(lab, make_plan(lab, Settings()), external)
    assert changed == "This cluster has 1 broker, so each message has 1 replica instead of 3."
    saved = open_run(run(replace(plan, messages=200), external, None, STOP))
    assert (saved.outcome, saved.plan["replication"]) == (Outcome.KEPT, 1)
