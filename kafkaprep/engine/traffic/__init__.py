"""Producers, consumers and the final reader: child processes that keep ledgers."""
