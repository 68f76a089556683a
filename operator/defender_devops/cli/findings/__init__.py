"""`findings`: the list of what Defender for Cloud found, read from Azure with the caller's own sign-in."""
