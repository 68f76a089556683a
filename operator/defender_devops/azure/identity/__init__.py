"""Identities that the operator uses in Azure: who may use which, and where their tokens come from.

clients             the ARM client of a connector's identity
grants              which namespace may use which identity
credentials         credentials of Entra ID, through azure-identity
entra_errors        errors of azure-identity become `CredentialsError`
operator_identity   the identity that the operator's environment provides
local_developer     the identity of the person who runs the command line
"""
