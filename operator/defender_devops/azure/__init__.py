"""Azure Resource Manager, Resource Graph, and the identities that the operator uses there.

Every request to management.azure.com is sent from this package.

arm             one request: token, rate limit, time-outs, retries, errors
identity        which identity a connector uses, and its credentials
resources       security connectors, role assignments, subscriptions
resource_graph  one query for all connectors of an identity
"""
