"""`make demo`: Azure DevOps organizations connected to Defender for Cloud by manifests, from nothing to clean again."""
