"""The parts of the spec of an AzureDevOpsConnector, one module for each block."""
