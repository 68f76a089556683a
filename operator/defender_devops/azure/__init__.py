"""Azure Resource Manager, Resource Graph, and the identities that call them.

Every request to management.azure.com starts here and nowhere else.

arm             one request: token, rate limit, time-outs, retries, errors
identity        which identity a connector uses, and its credentials
resources       security connectors, role assignments, subscriptions
resource_graph  one query for all connectors of an identity
"""
