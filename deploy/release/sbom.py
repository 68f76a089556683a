"""Bills of materials: CycloneDX of the locked packages, and SPDX with the same content.

That of the image is written by its build (deploy/image/sbom.py), because only the build knows the packages of the base.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from pathlib import Path
from typing import Any

from deploy.release.programs import uv

__all__ = ["as_json", "locked_packages", "spdx"]

Document = dict[str, Any]


def locked_packages(root: Path) -> Document:
    """Return the CycloneDX bill of the wheel: what uv.lock installs with it and all of its extras, on any platform."""
    command = ("export", "--quiet", "--frozen", "--no-default-groups", "--all-extras", "--format", "cyclonedx1.5")
    bill: Document = json.loads(uv(*command, cwd=root))
    # Random and temporal values would make two builds differ.
    bill["metadata"].pop("timestamp", None)
    bill["serialNumber"] = ""
    bill["serialNumber"] = f"urn:uuid:{_digest_id(bill)}"
    return bill


def spdx(bill: Document, epoch: int) -> Document:
    """Return the SPDX 2.3 document with the packages and dependencies of a CycloneDX bill.

    Args:
        bill: the CycloneDX bill.
        epoch: seconds since 1970, the document's time of creation.
    """
    subject = bill["metadata"]["component"]
    components = [subject, *bill["components"]]
    ids = {component["bom-ref"]: f"SPDXRef-Package-{_id(component['bom-ref'])}" for component in components}
    edges = [
        _relationship(ids[node["ref"]], "DEPENDS_ON", ids[target])
        for node in bill.get("dependencies", [])
        for target in node.get("dependsOn", [])
    ]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{subject['name']}-{subject.get('version', 'unknown')}",
        "documentNamespace": f"https://spdx.org/spdxdocs/{subject['name']}-{_digest_id(bill)}",
        "creationInfo": {
            "created": dt.datetime.fromtimestamp(epoch, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: defender-devops-operator/deploy/release"],
        },
        "packages": [_package(component, ids[component["bom-ref"]]) for component in components],
        "relationships": [_relationship("SPDXRef-DOCUMENT", "DESCRIBES", ids[subject["bom-ref"]]), *edges],
    }


def as_json(document: Document) -> str:
    """Return the text of a document, the same for equal documents."""
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _package(component: Document, spdx_id: str) -> Document:
    purl = component.get("purl")
    reference = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}
    return {
        "SPDXID": spdx_id,
        "name": component["name"],
        "versionInfo": component.get("version", "unknown"),
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        **({"externalRefs": [reference]} if purl else {}),
    }


def _relationship(source: str, kind: str, target: str) -> Document:
    return {"spdxElementId": source, "relationshipType": kind, "relatedSpdxElement": target}


def _id(reference: str) -> str:
    """Return a reference with the characters that SPDX allows; all others by their code, so that two stay different."""
    return re.sub(r"[^A-Za-z0-9.]", lambda match: f"-{ord(match[0]):x}-", reference)


def _digest_id(bill: Document) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_URL, json.dumps({**bill, "serialNumber": ""}, sort_keys=True))
