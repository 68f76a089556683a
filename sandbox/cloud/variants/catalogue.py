"""All variants, by subject."""

from __future__ import annotations

from typing import Final

from sandbox.cloud.variants.assessments import ASSESSMENTS
from sandbox.cloud.variants.authorization import AUTHORIZATION
from sandbox.cloud.variants.azure_devops import AZURE_DEVOPS
from sandbox.cloud.variants.connector import CONNECTOR
from sandbox.cloud.variants.discovery import DISCOVERY
from sandbox.cloud.variants.entra_id import ENTRA_ID
from sandbox.cloud.variants.pipelines import PIPELINES
from sandbox.cloud.variants.resource_graph import RESOURCE_GRAPH
from sandbox.cloud.variants.resource_manager import RESOURCE_MANAGER
from sandbox.cloud.variants.variant import Variant

__all__ = ["VARIANTS"]

VARIANTS: Final[dict[str, Variant]] = {
    **AUTHORIZATION,
    **CONNECTOR,
    **DISCOVERY,
    **RESOURCE_MANAGER,
    **ASSESSMENTS,
    **RESOURCE_GRAPH,
    **ENTRA_ID,
    **AZURE_DEVOPS,
    **PIPELINES,
}
"""All variants by name."""
