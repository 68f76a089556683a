"""observe → plan → act → report.

`gather` reads everything into one immutable snapshot, `plan` decides (pure), `execute` acts, `report` writes up what is
known (pure), and `reconciler` runs the four in that order. Nothing that `plan` and `report` rest on does I/O or looks
at a clock: `snapshot`, `ownership`, `authorization`, `desired`, `differences`, `readers`, `organizations`, `deletion`,
`discovery`, the actions and the verdicts.
"""
