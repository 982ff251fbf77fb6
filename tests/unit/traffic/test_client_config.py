"""Whose word counts in a client's configuration: identity ours, behaviour the lab's."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, Producer

from kafkaprep.engine.traffic.client_config import (
    admin_config,
    consumer_config,
    effective_acks,
    effective_retries,
    is_idempotent,
    producer_config,
    reader_config,
)

SERVERS = "127.0.0.1:1"
HOSTILE = {"bootstrap.servers": "example.org:9092", "client.id": "other", "group.id": "other"}


def test_identity_cannot_be_overridden() -> None:
    producer = producer_config(SERVERS, HOSTILE, "p")
    consumer = consumer_config(SERVERS, HOSTILE, "c", group="g", commit="after")
    assert (producer["bootstrap.servers"], producer["client.id"]) == (SERVERS, "p")
    assert (consumer["bootstrap.servers"], consumer["client.id"], consumer["group.id"]) == (SERVERS, "c", "g")


def test_settings_are_laid_over_behaviour() -> None:
    assert producer_config(SERVERS, {"reconnect.backoff.max.ms": "900"}, "p")["reconnect.backoff.max.ms"] == "900"
    assert producer_config(SERVERS, {"acks": "1"}, "p")["acks"] == "1"
    consumer = consumer_config(SERVERS, {"enable.auto.commit": "true"}, "c", group="g", commit="before")
    assert consumer["enable.auto.commit"] == "true"


@pytest.mark.parametrize(("commit", "automatic"), [("before", False), ("after", False), ("auto", True)])
def test_the_commit_rule_decides_who_commits(commit: str, automatic: bool) -> None:
    assert consumer_config(SERVERS, {}, "c", group="g", commit=commit)["enable.auto.commit"] is automatic


def test_the_reader_meets_the_conditions_of_the_final_read() -> None:
    config = reader_config(SERVERS, "r", isolation="read_committed")
    assert config["auto.offset.reset"] == "error"
    assert config["check.crcs"] is config["enable.partition.eof"] is True
    assert config["enable.auto.commit"] is config["enable.auto.offset.store"] is False
    assert config["isolation.level"] == "read_committed"


def test_the_library_accepts_every_entry() -> None:
    Producer(producer_config(SERVERS, {}, "p"))
    for config in (
        consumer_config(SERVERS, {}, "c", group="g", commit="after"),
        reader_config(SERVERS, "r", isolation="read_uncommitted"),
    ):
        Consumer(config).close()
    assert admin_config(SERVERS, "a")["client.id"] == "a"


@pytest.mark.parametrize(
    ("settings", "acks"),
    [({}, "all"), ({"acks": "-1"}, "all"), ({"acks": "0"}, "0"), ({"request.required.acks": "1"}, "1")],
)
def test_acks(settings: dict[str, str], acks: str) -> None:
    assert effective_acks(settings) == acks


def test_retries_and_idempotence() -> None:
    assert effective_retries({}) == 2147483647
    assert effective_retries({"message.send.max.retries": "3"}) == 3
    assert not is_idempotent({})
    assert is_idempotent({"enable.idempotence": "true"})
    assert is_idempotent({"transactional.id": "t"})
