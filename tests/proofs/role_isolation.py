"""No tenant reaches another's documents through Bedrock by what only service roles can stop: every pair of tenants,
every way, every store, on a local AWS that evaluates the roles."""

from __future__ import annotations

import tempfile
from itertools import permutations
from pathlib import Path

from kbfleet.bootstrap import store_types
from kbfleet.domain.service_role import ServiceRole
from tests.proofs.proof import Row
from tests.support.deployment_values import Deployment
from tests.support.tenant_roles import (
    CROSSINGS,
    STORES,
    VECTOR_BUCKET,
    WORDS,
    RoleDocuments,
    RoleDocumentsOf,
    RoleRig,
    TenantOnStore,
    TenantWalls,
    breach,
    role_rig,
)

TENANTS = ("maple", "maple-1", "maples", "mapl")


def kbfleets_roles(walls: TenantWalls) -> RoleDocuments:
    """The roles that provisioning makes, bounded as template.yaml bounds them."""
    store = "S3_VECTORS" if walls.index_arn else "OPENSEARCH_SERVERLESS" if walls.collection_arn else "MANAGED"
    place, _, knowledge_base = walls.knowledge_base_arn.rpartition("/")
    index = walls.index_arn.rpartition("/")[2]
    known = () if knowledge_base == "*" else (knowledge_base,)
    role = ServiceRole(
        walls.bucket, walls.bucket, (index, f"{index}.1.*"), store_types()[store].role_services, {}, known
    )
    region = place.split(":")[3]
    arns = {
        "VectorBucket": f"arn:aws:s3vectors:{region}:{walls.account}:bucket/{VECTOR_BUCKET}",
        # Which of its indexes a role reaches, data access policies say.
        "Collection": f"arn:aws:aoss:{region}:{walls.account}:collection/*",
    }
    parameters = {"FleetName": "proof", "OfferOpenSearchServerless": "true"}
    deployment = Deployment(walls.account, region, parameters, arns=arns)
    boundary = deployment.property("ServiceRoleBoundary", "PolicyDocument")
    return RoleDocuments(dict(role.trust_policy(place, walls.account)), dict(role.policy(boundary)), boundary)


def prove(documents_of: RoleDocumentsOf = kbfleets_roles) -> Row:
    """Every attempt is one run, and so is each tenant's finding of its own document, before and after."""
    row = Row("attempts to cross service roles through Bedrock")
    with tempfile.TemporaryDirectory(prefix="kbfleet-roles-") as folder, role_rig(Path(folder), documents_of) as rig:
        for store in STORES:
            _on_store(rig, store, row)
    row.findings.append(f"each way of {len(CROSSINGS)}, each ordered pair of {len(TENANTS)} tenants, each store")
    return row


def _on_store(rig: RoleRig, store: str, row: Row) -> None:
    tenants = [rig.tenant(tenant_id, store, word) for tenant_id, word in zip(TENANTS, WORDS, strict=False)]
    _find_their_own(rig, tenants, row)
    for crossing in CROSSINGS:
        if store in crossing.stores:
            for attacker, victim in permutations(tenants, 2):
                row.add(breach(rig, crossing, attacker, victim))
    _find_their_own(rig, tenants, row)


def _find_their_own(rig: RoleRig, tenants: list[TenantOnStore], row: Row) -> None:
    """Else nothing could be found, and no attempt could fail."""
    for tenant in tenants:
        found = rig.found(tenant)
        row.add(None if tenant.word in found else f"{tenant.tenant_id} on {tenant.store} finds {found}")
