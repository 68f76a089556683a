"""All reads of a reconcile, gathered into one snapshot."""
