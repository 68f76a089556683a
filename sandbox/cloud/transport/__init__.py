"""HTTP in and out: messages, TLS, listeners. The only part that uses aiohttp."""
