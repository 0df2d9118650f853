"""The ports of `matching` and `signaling` in memory: the obvious implementations, for fast tests of what uses them."""
