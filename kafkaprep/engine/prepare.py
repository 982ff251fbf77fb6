"""Checks before anything starts: cluster, capabilities, client settings."""

from __future__ import annotations

from collections.abc import Mapping

from kafkaprep.engine.client_properties import without_secrets
from kafkaprep.engine.cluster.base import Cluster
from kafkaprep.engine.terminal_text import sanitise
from kafkaprep.engine.traffic.client_config import consumer_config, producer_config
from kafkaprep.errors import CapabilityMissing, UsageError
from kafkaprep.model.history import RunPlan
from kafkaprep.model.lab import Lab
from kafkaprep.model.settings import Scope

_NOWHERE = "127.0.0.1:9"  # the discard port: nothing is sent before the client is used


def check_capabilities(lab: Lab, cluster: Cluster) -> None:
    """Raises CapabilityMissing when the lab needs what the cluster cannot do."""
    missing = sorted(lab.needs - cluster.capabilities)
    if missing:
        raise CapabilityMissing(
            f"The {cluster.backend} cluster cannot {', '.join(missing)}, which lab {lab.id} needs.",
            "Run it with --cluster local.",
        )


def check_clients(plan: RunPlan, connection: Mapping[str, str] | None = None) -> None:
    """Let the client itself judge the combination of settings, without connecting to anything.

    Some settings are fine alone and contradict each other (acks=1 with enable.idempotence=true), and only librdkafka
    knows all of its rules. `connection` is how to log in to the learner's own cluster. Raises UsageError with
    its words.
    """
    from confluent_kafka import Consumer, KafkaException, Producer

    login = dict(connection or {})
    quiet = {"log_level": 0}
    commit = plan.settings.get(Scope.APPLICATION, "commit", "after")
    try:
        Producer({**producer_config(_NOWHERE, plan.settings[Scope.PRODUCER], "kafkaprep-check", login), **quiet})
    except KafkaException as error:
        raise _refused("producer", error, login) from error
    try:
        consumer = Consumer(
            {
                **consumer_config(
                    _NOWHERE,
                    plan.settings[Scope.CONSUMER],
                    "kafkaprep-check",
                    group="kafkaprep-check",
                    commit=commit,
                    connection=login,
                ),
                **quiet,
            }
        )
        consumer.close()
    except KafkaException as error:
        raise _refused("consumer", error, login) from error


def _refused(client: str, error: Exception, login: Mapping[str, str]) -> UsageError:
    reason = error.args[0].str() if error.args and hasattr(error.args[0], "str") else str(error)
    return UsageError(
        f"librdkafka refuses these {client} settings: {sanitise(without_secrets(reason, login))}.",
        "Change one of them.",
    )
