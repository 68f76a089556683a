"""The control interface for tests and demos; no part of what is simulated."""
