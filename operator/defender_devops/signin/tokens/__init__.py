"""Tokens of the sign-in: the token Secret of a connector, its content, and how tokens are refreshed."""
