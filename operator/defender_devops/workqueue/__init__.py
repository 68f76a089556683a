"""The work queue: fairness between subscriptions, delayed keys, and the result of a reconcile."""
