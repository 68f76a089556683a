"""Acceptance kit: compares what the simulated cloud assumes about Azure with a real tenant (docs/acceptance.md)."""
