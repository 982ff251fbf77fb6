"""Judges what happened: ledgers in, classes, fates and promises out. Pure."""
