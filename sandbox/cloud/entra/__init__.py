"""Microsoft Entra ID: sign-in, tokens, keys."""
