"""When a resource is looked at: the work queue between the watches and the reconciles."""
