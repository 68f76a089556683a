"""Azure Resource Manager, Resource Graph and the identities that speak to them.

Everything that is asked of management.azure.com starts here and nowhere else. The modules, from the outside in:

    identities      which credential a connector may use, one client for each identity
    watcher         one look at Resource Graph for all connectors of an identity
    connectors      security connectors, their DevOps configuration and what is below it
    role_assignments, resource_graph, operations
    arm             one request: token, budget, retry, errors
    budget          what may still be asked before Azure has to say 429
    error_mapping   HTTP answers become `defender_devops.errors`, in one place
"""
