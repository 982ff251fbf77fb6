"""WHAT things are: frozen dataclasses and enumerations, no input or output."""
