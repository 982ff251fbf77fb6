"""RUNS an experiment: cluster, traffic, faults, ledgers, verdict. No screen code."""
