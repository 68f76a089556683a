"""`support`: write a bundle that helps maintainers to diagnose a problem, without secrets."""
