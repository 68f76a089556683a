"""What is written back: conditions, statuses, discovery progress, events. Pure."""
