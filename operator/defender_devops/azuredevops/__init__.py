"""Azure DevOps as the signed-in account sees it: prerequisites, organizations and what Defender should find."""
