"""`import`: write manifests for connectors that exist in Azure, so that they can be managed from git."""
