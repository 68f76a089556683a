"""Requests to Azure Resource Manager: sessions, tokens, rate limits, retries, and errors by name.

client                   one request
session                  what all clients share: connections, concurrency, rate limits
rate_limiter             delays requests before Azure would reject them with 429
token_source             the access token of one identity, refreshed in time
long_running_operations  operations that continue in Azure after the response to a write
error_mapping            converts HTTP responses into `defender_devops.errors` (error_codes, error_body)
"""
