"""Defender for Cloud behind Resource Manager: authorization, onboarding, discovery."""
