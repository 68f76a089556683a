"""Every read that a reconcile makes, gathered into one snapshot."""
