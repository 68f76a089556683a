"""What a person does in a browser: sign-in pages and the device code page."""
