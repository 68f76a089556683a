"""Identities of the operator in Azure: which namespace may use which one, and their credentials.

clients             the ARM client of a connector's identity
grants              which namespace may use which identity
credentials         credentials of Entra ID, through azure-identity
credential_errors   converts errors of azure-identity into `CredentialsError`
operator_identity   the identity that the operator's environment provides
local_developer     the local credentials of the command line
"""
