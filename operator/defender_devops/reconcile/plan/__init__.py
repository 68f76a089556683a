"""Which changes are necessary to bring Azure and the cluster in line with a spec. Pure."""
