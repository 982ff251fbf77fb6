"""What screens are made of: each widget draws one thing from plain values."""
