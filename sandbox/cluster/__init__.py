"""A real Kubernetes API server on any machine: etcd, kube-apiserver and kube-controller-manager.

`binaries` finds or builds the programs, `cluster` runs them, `client` is an API client.
"""

from __future__ import annotations

from sandbox.cluster.binaries import BinaryError, binary
from sandbox.cluster.client import KubernetesClient
from sandbox.cluster.cluster import Cluster
from sandbox.process import ProcessFailed

__all__ = ["BinaryError", "Cluster", "KubernetesClient", "ProcessFailed", "binary"]
