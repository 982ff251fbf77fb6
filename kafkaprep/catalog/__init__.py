"""READS content/ and labs/: strict YAML in, model objects out."""
