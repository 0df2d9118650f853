"""Plays the services the product depends on, for `eyeline dev` and the tests, as strictly as the real ones."""
