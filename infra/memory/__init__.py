"""The ports of `matching` in memory, on a clock that somebody else moves: for simulations, and for tests of the rules.

Never behind a node: what is decided here is gone with the process. One contract suite holds them and the real ones to
the same behaviour (`tests/contract/`).
"""
