"""How every client of a run is configured: ours fixed, the lab's laid over.

Who a client is (address, client.id, group.id) can never be overridden; how it behaves can, by the settings of the
lab. How it connects (encryption, login) comes from the client properties of the learner's own cluster. The scope
`application` is code, not a Kafka setting, and never comes here.
"""

from __future__ import annotations

from collections.abc import Mapping

ConfigValue = str | int | float | bool
Config = dict[str, ConfigValue]

DEFAULT_RETRIES = 2147483647
_TRUE = frozenset({"true", "t", "1"})

_PLAINTEXT: Mapping[str, str] = {}  # no client properties: what the local cluster speaks

_CLIENT: Mapping[str, ConfigValue] = {
    "broker.address.family": "v4",
    "log_level": 5,
    "reconnect.backoff.ms": 20,
    "reconnect.backoff.max.ms": 200,
    "socket.nagle.disable": True,
    "topic.metadata.refresh.fast.interval.ms": 50,
}
_CONSUMER: Mapping[str, ConfigValue] = {
    "allow.auto.create.topics": False,
    "enable.partition.eof": True,
    "fetch.wait.max.ms": 100,
    "fetch.error.backoff.ms": 50,
}
_READER: Mapping[str, ConfigValue] = {
    "auto.offset.reset": "error",
    "check.crcs": True,
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "fetch.wait.max.ms": 10,  # the event that ends a partition comes only with an empty answer
    "max.partition.fetch.bytes": 4 * 1024 * 1024,
}


def producer_config(
    bootstrap: str, settings: Mapping[str, str], client_id: str, connection: Mapping[str, str] = _PLAINTEXT
) -> Config:
    return {**_CLIENT, **connection, **settings, "bootstrap.servers": bootstrap, "client.id": client_id}


def consumer_config(
    bootstrap: str,
    settings: Mapping[str, str],
    client_id: str,
    *,
    group: str,
    commit: str,
    connection: Mapping[str, str] = _PLAINTEXT,
) -> Config:
    """`commit` is the application's rule: with `before` and `after` it commits itself."""
    return {
        **_CLIENT,
        **_CONSUMER,
        **connection,
        "enable.auto.commit": commit == "auto",
        **settings,
        "bootstrap.servers": bootstrap,
        "client.id": client_id,
        "group.id": group,
    }


def reader_config(
    bootstrap: str, client_id: str, *, isolation: str, connection: Mapping[str, str] = _PLAINTEXT
) -> Config:
    """The final reader takes no settings: it must read the same way in every lab."""
    return {
        **_CLIENT,
        **_CONSUMER,
        **connection,
        **_READER,
        "isolation.level": isolation,
        "bootstrap.servers": bootstrap,
        "client.id": client_id,
        "group.id": f"kafkaprep-{client_id}",  # the client wants one; it never subscribes or commits with it
    }


def admin_config(bootstrap: str, client_id: str, connection: Mapping[str, str] = _PLAINTEXT) -> Config:
    return {**_CLIENT, **connection, "bootstrap.servers": bootstrap, "client.id": client_id}


def effective_acks(settings: Mapping[str, str]) -> str:
    """`0`, `1`, … or `all`, whichever of librdkafka's spellings was used."""
    acks = settings.get("acks", settings.get("request.required.acks", "all"))
    return "all" if acks == "-1" else acks


def effective_retries(settings: Mapping[str, str]) -> int:
    return int(settings.get("retries", settings.get("message.send.max.retries", DEFAULT_RETRIES)))


def is_idempotent(settings: Mapping[str, str]) -> bool:
    return "transactional.id" in settings or settings.get("enable.idempotence", "false").lower() in _TRUE
