"""The small YAML file that describes a tenant."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.alias_generators import to_camel

__all__ = ["IdentitySection", "LostSection", "TenantFile", "TenantFileError", "read_tenant_file"]


class TenantFileError(Exception):
    """The file cannot be used; the message says what to change."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True, frozen=True)


class IdentitySection(_Section):
    """An application with a client secret, which is in a variable or a file and never in the YAML itself.

    Attributes:
        client_secret_variable: name of an environment variable.
        client_secret_file: path of a file.
    """

    client_id: str
    client_secret_variable: str | None = None
    client_secret_file: Path | None = None

    @model_validator(mode="after")
    def check_source(self) -> Self:
        """Check that there is one source of the secret."""
        if (self.client_secret_variable is None) == (self.client_secret_file is None):
            raise ValueError("give one of clientSecretVariable and clientSecretFile")
        return self

    def read_secret(self) -> str:
        """Return the client secret.

        Raises:
            TenantFileError: the variable or the file has none.
        """
        if self.client_secret_variable is not None:
            secret = os.environ.get(self.client_secret_variable, "").strip()
            if not secret:
                raise TenantFileError(f"The variable {self.client_secret_variable} has no client secret: set it.")
            return secret
        file = self.client_secret_file or Path()
        try:
            secret = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise TenantFileError(f"clientSecretFile {file} cannot be read: {error}.") from None
        if not secret:
            raise TenantFileError(f"clientSecretFile {file} is empty.")
        return secret


class LostSection(_Section):
    """A connector whose authorization does not work any more, because its account was blocked or has revoked it.

    Attributes:
        connector: its name, in the same resource group.
        since: when that happened.
    """

    connector: str
    since: datetime

    @model_validator(mode="after")
    def check_time(self) -> Self:
        """Check that the time has a zone."""
        if self.since.tzinfo is None:
            raise ValueError("since needs a time zone, such as 2026-11-30T08:00:00Z")
        return self


class TenantFile(_Section):
    """What the kit reads. Each optional field makes more behaviours visible.

    Attributes:
        tenant: id of the Entra tenant.
        subscription: id of the subscription with the connector.
        resource_group: its resource group.
        connector: a connector that works; it is only read.
        organization: an organization that it has onboarded.
        identity: an application with a client secret; absent: azure-identity's default (`az login`, for example).
        expendable_connector: a connector that `--write` may change, authorized in the portal, with two organizations.
        delete_expendable_connector: whether `--write` may delete it in the end.
        lost: a connector that lost its authorization.
        connector_without_organizations: a connector whose account is in no organization any more.
        organization_not_administered: an organization that the connector selects, and its account does not administer.
        organization_without_code_search: an organization without the extension Code Search.
        unregistered_subscription: a subscription that is not registered for Microsoft.Security, with a resource group;
            the identity is Contributor there.
        forbidden_subscription: a subscription of the tenant that is not registered either, without a role for the
            identity.
        has_security_role: whether the identity holds Security Reader or Security Admin.
    """

    tenant: str
    subscription: str
    resource_group: str
    connector: str
    organization: str
    identity: IdentitySection | None = None
    expendable_connector: str | None = None
    delete_expendable_connector: bool = False
    lost: LostSection | None = None
    connector_without_organizations: str | None = None
    organization_not_administered: str | None = None
    organization_without_code_search: str | None = None
    unregistered_subscription: str | None = None
    forbidden_subscription: str | None = None
    has_security_role: bool | None = None

    @model_validator(mode="after")
    def check_expendable(self) -> Self:
        """Check that the expendable connector is none of the others."""
        other_connectors = {self.connector.lower(), (self.connector_without_organizations or "").lower()}
        other_connectors |= {self.lost.connector.lower()} if self.lost else set()
        if self.expendable_connector is not None and self.expendable_connector.lower() in other_connectors:
            raise ValueError("expendableConnector must be another connector: --write changes it")
        return self


def read_tenant_file(path: Path) -> TenantFile:
    """Read the file.

    Raises:
        TenantFileError: it cannot be read, or has an invalid field.
    """
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TenantFileError(f"{path} cannot be read: {error}") from None
    try:
        return TenantFile.model_validate(document)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, detail['loc'])) or 'the file'}: {detail['msg']}"
            for detail in error.errors(include_url=False, include_input=False)
        ]
        raise TenantFileError(f"{path} cannot be used:\n  " + "\n  ".join(problems)) from None
