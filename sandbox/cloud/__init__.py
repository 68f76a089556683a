"""The simulated cloud: Entra ID, Azure Resource Manager with Defender for Cloud, Resource Graph, Azure DevOps."""

from __future__ import annotations

from sandbox.cloud.control.client import ControlClient, ControlError

__all__ = ["ControlClient", "ControlError"]
