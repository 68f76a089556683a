"""The Kubernetes API, as far as the operator uses it. Only here is the client library imported.

client              one request: address, token, time-outs, errors by name
connectors          finalizer and status of AzureDevOpsConnectors
organizations       generated DevOpsOrganizations: made, deleted, left to others; status of all
secrets             one Secret at a time
service_accounts    tokens of service accounts (TokenRequest)
events              events on both resources
"""
