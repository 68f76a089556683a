"""Azure DevOps: dev.azure.com and the other hosts."""
