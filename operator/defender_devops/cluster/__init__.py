"""The Kubernetes API, as far as the operator uses it. Only here is the client library imported."""
