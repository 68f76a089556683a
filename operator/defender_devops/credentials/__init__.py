"""Secrets and certificates that authenticate the operator: their text, their kinds, and client certificates."""
