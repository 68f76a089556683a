"""Defender's one-time authorization code: its format, the codes that were used, and those pasted on the page.

Defender for Cloud redeems the code for its own authorization to Azure DevOps. It has nothing to do with the operator's
own sign-in (`defender_devops.signin`).
"""
