"""The control interface for tests and demos; not part of the simulated services."""
