"""OAuth 2.0 against Entra ID: endpoints, flows, client authentication, ID tokens, errors."""
