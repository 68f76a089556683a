"""Pipeline checks: evidence, states of repositories, and the status of an organization."""
