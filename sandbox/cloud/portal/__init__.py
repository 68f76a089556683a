"""A small web portal for the steps that only a person can do."""
