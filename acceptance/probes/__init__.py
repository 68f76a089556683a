"""The probes, one file for each kind."""
