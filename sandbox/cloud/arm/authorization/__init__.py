"""Microsoft.Authorization and Azure Policy: role assignments, access checks, deny policies."""
