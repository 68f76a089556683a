"""Requests to a tenant: tokens, the guard against writes, and every request with its answer in memory."""
