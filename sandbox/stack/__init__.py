"""Cluster, cloud and operator together, as `make sandbox`, the demo and the system tests start them."""

from __future__ import annotations

from sandbox.stack.cloud import Cloud
from sandbox.stack.operator import Operator, install_crds, prepare_namespace

__all__ = ["Cloud", "Operator", "install_crds", "prepare_namespace"]
