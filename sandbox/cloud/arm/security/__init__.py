"""Microsoft.Security: connectors, DevOps configurations and what discovery has reported."""
