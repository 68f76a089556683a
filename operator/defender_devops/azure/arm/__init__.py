"""Requests to Azure Resource Manager: sessions, tokens, rate limits, retries, and errors by name.

client                   one request
session                  what all clients share: connections and the rate limiter
rate_limiter             how many requests Azure may still be sent before it answers 429
token_source             the access token of one identity, refreshed in time
long_running_operations  operations that Azure goes on with after it has answered
error_mapping            HTTP responses become `defender_devops.errors` (error_codes, error_body)
"""
