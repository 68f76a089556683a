"""observe → plan → act → report.

`gather` reads everything into one immutable snapshot, `plan` decides (pure), `execute` acts, `report` writes up what is
known (pure), and `reconciler` runs the four in that order. Nothing in `snapshot`, `ownership`, `desired`, `plan`,
`deletion`, `organizations` and `report` does I/O or looks at a clock.
"""
