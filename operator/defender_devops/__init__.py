"""Kubernetes operator that connects Azure DevOps organizations to Microsoft Defender for Cloud."""
