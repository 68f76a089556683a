"""The operator's own sign-in into Azure DevOps: flows, token Secrets, and the pages on which a person acts."""
