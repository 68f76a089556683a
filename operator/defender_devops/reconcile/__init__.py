"""One reconcile: observe, plan, act, report.

facts    the snapshot of one reconcile and what follows from it (pure)
cache    what is kept between two reconciles
observe  every read, gathered into one snapshot
actions  single changes, their effect on a snapshot (pure), and the executor that applies them
plan     which changes are necessary (pure)
report   conditions, statuses and events (pure)

`reconciler` runs observe, plan, actions and report in this order.
"""
