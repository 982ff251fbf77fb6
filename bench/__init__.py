"""Measured comparisons: `python -m bench` prints one table, `--json` one document.

Machines are shared and noisy, so every figure is a ratio to an opponent measured in the same run, interleaved, and
the median of several rounds.
"""
