"""What stands in the way of a connector: in the cluster, in Azure, and in each Azure DevOps organization.

checks         one outcome, and what a snapshot shows (pure)
references     Secrets and service accounts that a manifest names
organizations  Defender's prerequisites in Azure DevOps, by the operator's own checks
run            the command
"""
