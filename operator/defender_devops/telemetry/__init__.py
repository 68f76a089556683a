"""Logs, metrics, traces and probes of the operator, and the context that they share."""
