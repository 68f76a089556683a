"""Microsoft.Authorization and Azure Policy: who may do what, and what is denied."""
