"""`pipelines`: which repositories are scanned, by the evidence that the operator keeps in the cluster."""
