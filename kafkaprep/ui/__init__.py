"""SHOWS it: the only package that imports Textual."""
