"""What `plan` and `check` work on: manifests, and what the cluster and Azure know of them."""
