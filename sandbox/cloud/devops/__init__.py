"""Azure DevOps: dev.azure.com and its neighbours."""
