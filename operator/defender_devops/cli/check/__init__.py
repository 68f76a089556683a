"""`check`: check the prerequisites of a connector in the cluster, in Azure and in Azure DevOps."""
