"""Entries of catalogues in which users find a release.

krew       the plugin of kubectl: its archive and its manifest
olm        the bundle for OperatorHub
olm_rules  the rules that OperatorHub checks a bundle by
"""
