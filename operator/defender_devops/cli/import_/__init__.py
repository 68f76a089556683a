"""`import`: manifests for connectors that exist in Azure, so that git can adopt them."""
