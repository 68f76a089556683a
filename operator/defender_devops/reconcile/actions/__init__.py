"""Single changes in Azure or Kubernetes: what each means for a snapshot (pure), and the executor that applies them."""
