"""Bots in tests: what real ones said, and one of our own that talks like them."""
