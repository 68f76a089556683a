"""Connectors and organizations as people read them, shared by status, check, reconcile and support."""
