"""Azure Pipelines: pipelines, their builds, policies, and how a YAML file becomes steps."""
