"""Variants: behaviours of the real service that are inferred, each with its plausible alternatives.

The simulated cloud has to choose one form of what nobody has seen. A variant names the choice, so that a client can be
tested against the others too. The first value of a variant is the default.
"""

from __future__ import annotations

from sandbox.cloud.variants.catalogue import VARIANTS
from sandbox.cloud.variants.choices import UnknownVariant, Variants
from sandbox.cloud.variants.variant import Variant

__all__ = ["VARIANTS", "UnknownVariant", "Variant", "Variants"]
