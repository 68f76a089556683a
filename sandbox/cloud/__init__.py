"""The simulated cloud: Entra ID, Azure Resource Manager with Defender for Cloud, Resource Graph, Azure DevOps."""
