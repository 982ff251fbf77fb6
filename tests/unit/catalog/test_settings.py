"""The allow-list: what is found, what is refused, and what values become."""

from __future__ import annotations

from pathlib import Path

import confluent_kafka
import pytest

from kafkaprep.catalog.settings import SettingsTable, load_settings
from kafkaprep.errors import ContentError, UsageError
from kafkaprep.model.settings import Scope, SettingSpec

TABLE = load_settings()


def refusal(scope: str, name: str, value: str | int | float | bool) -> str:
    with pytest.raises(UsageError) as caught:
        TABLE.check(scope, name, value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "becomes"),
    [
        ("producer.acks", "-1", "all"),
        ("producer.acks", -1, "all"),
        ("producer.acks", 0, "0"),
        ("producer.acks", " 1 ", "1"),
        ("producer.request.required.acks", "all", "all"),
        ("producer.enable.idempotence", True, "true"),
        ("producer.enable.idempotence", "FALSE", "false"),
        ("producer.delivery.timeout.ms", "0005000", "5000"),
        ("producer.message.timeout.ms", 5000, "5000"),
        ("producer.linger.ms", 0.5, "0.5"),
        ("producer.linger.ms", "5", "5"),
        ("producer.transactional.id", "orders-1_a.b", "orders-1_a.b"),
        ("consumer.auto.offset.reset", "smallest", "earliest"),
        ("consumer.fetch.max.wait.ms", "100", "100"),
        ("consumer.partition.assignment.strategy", "range,roundrobin", "range,roundrobin"),
        ("topic.cleanup.policy", "delete,compact", "compact,delete"),
        ("topic.retention.ms", "-1", "-1"),
        ("topic.max.compaction.lag.ms", "9223372036854775807", "9223372036854775807"),
        ("application.commit", "before", "before"),
        ("application.dead_letter", "off", "off"),
    ],
)
def test_values_get_one_spelling(name: str, value: str | int | float | bool, becomes: str) -> None:
    scope, _, setting = name.partition(".")
    assert TABLE.check(scope, setting, value) == becomes


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("producer.acks", "2", "Allowed: 0, 1 or all."),
        ("producer.acks", "", "cannot be empty"),
        ("producer.enable.idempotence", 1, "true or false"),
        ("producer.retries", True, "0 to 2147483647"),
        ("producer.retries", "1e3", "0 to 2147483647"),
        ("producer.retries", "1_0", "0 to 2147483647"),
        ("producer.retries", "٣", "0 to 2147483647"),
        ("producer.retries", 1.0, "0 to 2147483647"),
        ("producer.retries", "9" * 5000, "0 to 2147483647"),
        ("producer.linger.ms", "nan", "0 to 600000"),
        ("producer.linger.ms", "inf", "0 to 600000"),
        ("producer.linger.ms", "600000.5", "0 to 600000"),
        ("producer.delivery.timeout.ms", "600001", "1 to 600000"),
        ("producer.transactional.id", "a b", "letters, digits"),
        ("producer.transactional.id", "x\nacks=0", "letters, digits"),
        ("producer.transactional.id", "x\x1b[31m", "letters, digits"),
        ("producer.acks", "all\nacks=0", "cannot be all\\nacks=0"),
        ("topic.min.insync.replicas", "0", "1 to 3"),
        ("topic.max.compaction.lag.ms", "9223372036854775808", "1 to 9223372036854775807"),
    ],
)
def test_values_out_of_bounds(name: str, value: str | int | float | bool, says: str) -> None:
    scope, _, setting = name.partition(".")
    message = refusal(scope, setting, value)
    assert says in message
    assert "\n" not in message and "\x1b" not in message and len(message) < 300


@pytest.mark.parametrize(
    "name",
    [
        *("bootstrap.servers", "metadata.broker.list", "security.protocol", "sasl.mechanism", "sasl.jaas.config"),
        *("ssl.ca.location", "ssl.key.password", "plugin.library.paths", "test.mock.num.brokers", "debug"),
        *("sasl.oauthbearer.config", "enable.sasl.oauthbearer.unsecure.jwt", "interceptor.classes"),
        *("metric.reporters", "statistics.interval.ms", "stats_cb", "key.serializer", "partitioner.class"),
        *("offset.store.path", "Bootstrap.Servers", "log.dirs"),
    ],
)
@pytest.mark.parametrize("scope", list(Scope))
def test_dangerous_names_are_refused_with_a_reason(scope: Scope, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be set here") as caught:
        TABLE.find(scope, name)
    assert len(str(caught.value).split(". ", 1)[1]) > 20


def test_nothing_dangerous_stands_in_the_table() -> None:
    for spec in TABLE:
        assert TABLE.find(spec.scope, spec.name) is spec
        for alias in spec.aliases:
            assert TABLE.find(spec.scope, alias) is spec


def test_unknown_names_meet_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"Did you mean enable\.idempotence\?"):
        TABLE.find("producer", "enable.idempotense")
    with pytest.raises(UsageError, match=r"Did you mean topic\.min\.insync\.replicas\?"):
        TABLE.find("producer", "min.insync.replicas")
    with pytest.raises(UsageError, match=r"Did you mean producer\?"):
        TABLE.find("producr", "acks")
    with pytest.raises(UsageError, match=r"queue\.buffering\.max\.kbytes"):
        TABLE.find("producer", "buffer.memory")


def test_assignments() -> None:
    assert TABLE.parse_assignment("producer.acks=-1") == (Scope.PRODUCER, "acks", "all")
    assert TABLE.parse_assignment(" producer.message.timeout.ms = 900 ") == (
        Scope.PRODUCER,
        "delivery.timeout.ms",
        "900",
    )


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("acks=all", "Did you mean producer.acks?"),
        ("producer.acks", "producer.acks=all"),
        ("producer=all", "names no setting"),
        ("=all", "sets nothing"),
        ("", "sets nothing"),
        ("prodcer.acks=all", "Did you mean producer?"),
        ("producer.ack=all", "Did you mean acks?"),
        ("producer.acks=", "cannot be empty"),
        ("producer.acks=all=1", "cannot be all=1"),
        ("producer.bootstrap.servers=evil:9092", "cannot be set here"),
    ],
)
def test_wrong_assignments(assignment: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        TABLE.parse_assignment(assignment)
    assert says in str(caught.value)


def test_the_table_is_whole() -> None:
    for spec in TABLE:
        assert len(spec.meaning) > 30 and len(spec.risks) > 20, spec.full_name
        if spec.default is not None:
            assert TABLE.check(spec.scope, spec.name, spec.default) == spec.default, spec.full_name
        for spelling, choice in spec.spellings:
            assert choice in spec.choices and spelling not in spec.choices, spec.full_name


CLIENTS = [spec for spec in TABLE if spec.scope in (Scope.PRODUCER, Scope.CONSUMER)]


@pytest.mark.parametrize("spec", CLIENTS, ids=lambda spec: spec.full_name)
def test_librdkafka_takes_every_value_we_allow(spec: SettingSpec) -> None:
    """Only name and range: combinations that contradict each other are met with settings that agree."""
    values = {*spec.choices, *(str(bound) for bound in (spec.minimum, spec.maximum) if bound is not None)}
    values |= {"true", "false"} if spec.kind == "bool" else set()
    values |= {spec.default} if spec.default is not None else {"name-1"} if spec.kind == "text" else set()
    for value in values:
        config = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0, **_agreeing(spec.name, value), spec.name: value}
        if spec.scope is Scope.PRODUCER:
            confluent_kafka.Producer(config)
        else:
            confluent_kafka.Consumer({"group.id": "g", **config}).close()


def _agreeing(name: str, value: str) -> dict[str, str]:
    match name, value:
        case "linger.ms", _:
            return {"delivery.timeout.ms": "900000"}
        case "delivery.timeout.ms", _:
            return {"linger.ms": "0"}
        case "session.timeout.ms", _:
            return {"max.poll.interval.ms": "3600000"}
        case "max.poll.interval.ms", _:
            return {"session.timeout.ms": "1000", "heartbeat.interval.ms": "300"}
        case "retry.backoff.ms", _:
            return {"retry.backoff.max.ms": "300000"}
        case "message.max.bytes", _:
            return {"batch.size": "1000"}
        case _:
            return {}


def test_a_malformed_table_is_a_content_error(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    scopes = "consumer: {}\ntopic: {}\nbroker: {}\napplication: {}\n"

    def load(spec: str) -> SettingsTable:
        other = path.with_name(f"{abs(hash(spec))}.yaml")
        other.write_text(f"format_version: 1\nproducer:\n  x: {spec}\n{scopes}")
        return load_settings(other)

    assert load("{kind: bool, default: null, meaning: m}").find("producer", "x").default is None
    for spec, says in (
        ("{kind: int, default: 1, meaning: m}", "needs minimum and maximum"),
        ("{kind: enum, default: a, meaning: m}", "needs choices"),
        ("{kind: boool, default: a, meaning: m}", "Did you mean bool?"),
        ("{kind: bool, defualt: a, meaning: m}", "Did you mean default?"),
        ("{kind: bool, meaning: m}", "lacks the key default"),
        ("[]", "must be a mapping"),
    ):
        with pytest.raises(ContentError) as caught:
            load(spec)
        assert says in str(caught.value) and caught.value.line == 3
