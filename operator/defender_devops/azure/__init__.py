"""Azure Resource Manager, Resource Graph and the identities that speak to them.

Everything that is asked of management.azure.com starts here and nowhere else. From the outside in:

    identities        the client of a connector: who may act as whom (grants), with which credential
    watchers          one watcher for each client; watcher: one look for all connectors; view: what a look shows
    connectors        security connectors, their DevOps configuration and what is below it
    role_assignments  who may read a connector
    operations        what Azure goes on doing after it has answered
    resource_graph    questions about many resources; queries: all that are asked
    arm               one request: token, budget, time-outs, repeats; session: what all clients share
    budget            what may still be asked before Azure has to say 429
    tokens            one identity's token; credentials: where it comes from; own_identity: the operator's own
    error_mapping     answers become `defender_devops.errors` (error_codes, error_body); entra_errors: Entra ID's
    parsing           bodies become the values of `api.cloud`, and back
"""
