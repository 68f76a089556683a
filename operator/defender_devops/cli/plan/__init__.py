"""`plan`: show what a manifest would change in Azure, computed with the operator's own planner."""
