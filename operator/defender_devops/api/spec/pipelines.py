"""`spec.pipelineChecks` of a connector: whether the operator checks which repositories are scanned."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

from pydantic import Field, StrictInt

from defender_devops.api.schema.durations import PATTERN, Duration
from defender_devops.api.schema.model import ApiModel
from defender_devops.api.schema.rules import Rule
from defender_devops.api.spec.features import Mode

__all__ = ["SAMPLE_LIMIT_MAX", "PipelineChecks"]

SAMPLE_LIMIT_MAX: Final = 10
_INTERVAL_MINIMUM: Final = timedelta(hours=1)
_INTERVAL_MAXIMUM: Final = timedelta(hours=168)


class PipelineChecks(ApiModel):
    """Which repositories are scanned, and by what."""

    mode: Mode = Mode.DISABLED
    """Enabled: the operator reads pipelines, builds and files of the organizations with its own sign-in, which then
    also needs the permissions vso.build and vso.code. Disabled: it sends no such request."""

    interval: Annotated[
        Duration,
        Rule(
            cel=f"self.matches(r'^(?:{PATTERN})$') && "
            "duration(self) >= duration('1h') && duration(self) <= duration('168h')",
            message="interval must be a duration between 1h and 168h, such as 24h",
            holds=lambda interval: _INTERVAL_MINIMUM <= interval <= _INTERVAL_MAXIMUM,
        ),
    ] = timedelta(hours=24)
    """Time between two checks of an organization. Between 1h and 168h."""

    sample_limit: Annotated[StrictInt, Field(ge=0, le=SAMPLE_LIMIT_MAX)] = SAMPLE_LIMIT_MAX
    """Number of repositories that the status names as examples, of those that are not scanned and of those that cannot
    be decided; 0 to 10."""
