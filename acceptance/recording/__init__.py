"""The conversation with a tenant as a folder of fixtures, without secrets, names and ids of the tenant."""
