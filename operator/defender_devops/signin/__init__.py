"""The operator's own sign-in to Azure DevOps: OAuth flows, stored tokens, sessions and the pages for people."""
