"""The proxy between clients and brokers: it sees frames and can spoil them."""
