"""Real engines from wheels, for one machine with nothing pre-installed: development and tests."""
