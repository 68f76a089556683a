"""What a manifest would change in Azure, by the operator's own planner.

subject       what is planned: a manifest put together with what the cluster knows of it
surroundings  what the cluster knows
observation   a snapshot, as the operator would gather it, but with the sign-in of this machine
changes       what a step changes, before and after (pure)
planned       what came of it, as text and as a document
run           the command
"""
