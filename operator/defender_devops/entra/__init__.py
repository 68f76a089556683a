"""What every client of Entra ID knows: the address of the authority, and the error codes."""
