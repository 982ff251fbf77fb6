"""The commands: one module each, thin; `main` joins them."""
