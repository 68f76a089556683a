"""`plan`: what a manifest would change in Azure, by the operator's own planner."""
