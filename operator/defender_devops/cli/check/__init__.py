"""`check`: whether a connector could work: in the cluster, in Azure, and in each Azure DevOps organization."""
