"""Checks in the background which repositories of each organization are scanned.

observer        schedules the checks of all organizations, and keeps what a snapshot needs
sweep           one check: lists, then readings, each a small step
readings        which builds, files and previews are read, in which order
sweep_state     what was read so far
evidence_store  that state as a Secret, so that a restart continues where the process ended
"""
