"""The token endpoint: grants, client authentication, workload identity federation, issued tokens."""
