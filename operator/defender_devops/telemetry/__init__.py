"""What the operator says about itself: logs, metrics, probes, and the context they share."""
