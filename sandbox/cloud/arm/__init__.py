"""Azure Resource Manager: paths, rights, limits, and the resources of Microsoft.Security."""
