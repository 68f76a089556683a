"""What exists in the simulated cloud, without any HTTP."""
