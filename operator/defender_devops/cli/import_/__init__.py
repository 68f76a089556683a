"""Manifests for connectors that exist in Azure, so that they can be adopted from git.

found      what there is in a subscription
manifests  the manifests for it (pure)
run        the command
"""
