"""Azure Pipelines and what is read about scanned repositories: builds, files, policies, search, Advanced Security."""
