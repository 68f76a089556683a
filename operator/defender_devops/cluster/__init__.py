"""Client for the part of the Kubernetes API that the operator and its command line use.

Only this package imports the Kubernetes library.

client, errors        requests, and the error class of each HTTP status
kubeconfig            credentials: the pod's service account or a kubeconfig
watch                 list and watch a collection; secret_versions uses it for Secrets
lease                 leader election
events                Kubernetes events
connectors, organizations, secrets, service_accounts, namespaces, pods, list_uids    one resource each
user_actions          what a person does to connectors, which the operator never does
"""
