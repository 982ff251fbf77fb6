"""What the settings of a run allow a broken promise to be."""

from __future__ import annotations

from dataclasses import dataclass

from kafkaprep.engine.audit.groups import Groups
from kafkaprep.model.settings import Scope, Settings
from kafkaprep.model.verdict import Promise, Severity


@dataclass(frozen=True, slots=True)
class Guarantees:
    """What the settings promised. Defaults are librdkafka's for clients, Apache Kafka's for the rest."""

    stored_safely: bool  # an acknowledged message survives the brokers that were lost
    idempotent: bool
    read_committed: bool
    commit: str  # before, after or auto
    resets_to_latest: bool
    dead_letters_unchecked: bool

    @classmethod
    def of(cls, settings: Settings, replication: int, brokers_lost: int) -> Guarantees:
        producer, application = settings[Scope.PRODUCER], settings[Scope.APPLICATION]
        all_in_sync = producer.get("acks", producer.get("request.required.acks", "all")) in ("all", "-1")
        copies = min(_whole(_of_topic(settings, "min.insync.replicas", "1")), replication)
        unclean = _is_true(_of_topic(settings, "unclean.leader.election.enable", "false"))
        transactional = bool(producer.get("transactional.id"))
        return cls(
            stored_safely=all_in_sync and copies > brokers_lost and not unclean,
            idempotent=transactional or _is_true(producer.get("enable.idempotence", "false")),
            read_committed=settings.get(Scope.CONSUMER, "isolation.level", "read_committed") == "read_committed",
            commit=application.get("commit", "after"),
            resets_to_latest=settings.get(Scope.CONSUMER, "auto.offset.reset", "latest")
            in ("latest", "largest", "end"),
            dead_letters_unchecked=application.get("dead_letter") == "unchecked",
        )


def severity(promise: Promise, groups: Groups, promised: Guarantees, *, observed: bool) -> Severity:
    """Of a broken promise. `observed`: something outside the ledgers broke it, which no Kafka setting governs."""
    match promise:
        case Promise.NO_ACKED_LOSS | Promise.NO_REPORTED_LOSS | Promise.ALL_ARRIVE:
            violated = promised.stored_safely and groups.lost.count > 0
        case Promise.NO_LOG_DUPLICATES:
            violated = promised.idempotent and groups.duplicated_sent_once.count > 0
        case Promise.ORDER_KEPT:
            violated = promised.idempotent and groups.reordered_sent_once.count > 0
        case Promise.NOTHING_SKIPPED:
            passed_over = groups.skipped.count > groups.removed_unhandled.count
            careless = promised.resets_to_latest or promised.dead_letters_unchecked
            violated = passed_over and promised.commit == "after" and promised.stored_safely and not careless
        case Promise.PROCESSED_ONCE:
            violated = promised.commit == "before" and groups.processed_twice_stored_once.count > 0
        case Promise.NO_ABORTED_SEEN:
            if not promised.read_committed:
                return Severity.EXPECTED
            violated = True
        case Promise.NO_PHANTOM:
            violated = promised.stored_safely
        case _:
            violated = False
    return Severity.VIOLATION if violated and not observed else Severity.PERMITTED


def _of_topic(settings: Settings, name: str, default: str) -> str:
    return settings.get(Scope.TOPIC, name, settings.get(Scope.BROKER, name, default))


def _is_true(value: str) -> bool:
    return value.strip().lower() == "true"


def _whole(value: str) -> int:
    return int(value) if value.strip().isdigit() else 1
