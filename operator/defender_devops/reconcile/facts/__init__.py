"""The snapshot of one reconcile, and what follows from it: desired state, ownership, authorization. Pure."""
