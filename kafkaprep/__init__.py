"""kafkaprep: how Kafka messages get lost or duplicated, taught and proven."""

__version__ = "0.1.0"
