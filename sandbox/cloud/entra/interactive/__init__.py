"""Interactive sign-in: the authorize endpoint, the sign-in pages, the device code page."""
