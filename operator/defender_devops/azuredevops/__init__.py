"""Azure DevOps with the signed-in account: prerequisites, organizations, and the counts that Defender should reach.

client                one request, its rate limit, retries and pages; errors: the meaning of responses
organizations         the signed-in account, its organizations, and the tenant of an organization
members               one account within an organization, and its groups
prerequisites         one function for each prerequisite of Defender for Cloud
counts                projects and repositories that Defender should discover
azure_devops_reader   all of them for connectors, with cached responses
"""
