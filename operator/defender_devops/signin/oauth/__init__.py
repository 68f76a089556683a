"""OAuth 2.0 with Entra ID: endpoints, grants, client authentication, ID tokens and errors."""
