"""Letting a tenant's back end upload documents without knowing any bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbfleet.domain.document_names import form_of, other_spellings
from kbfleet.domain.errors import BucketGone, KeySpelledOtherwise, NotReadyYet, ResourceMissing, TenantNotActive
from kbfleet.domain.tenant_status import TenantStatus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from kbfleet.domain.names import ResourceNames, TenantId
    from kbfleet.domain.uploads import DocumentKey, Upload, UploadForm
    from kbfleet.ports import BucketContents, KnowledgeStore, TenantRegistry, Uploads


def grant_upload(
    tenant_id: TenantId,
    upload: Upload,
    *,
    valid_for: timedelta,
    registry: TenantRegistry,
    stores: Mapping[str, KnowledgeStore],
    uploads: Uploads,
    bucket_contents: BucketContents,
    names: ResourceNames,
) -> UploadForm:
    """The form by which one document can be uploaded. With it its metadata file, if there is one, is written, so that
    whoever uploads sends one thing only; it also applies to a document that is there already.

    A tenant that is still being provisioned may be given documents as soon as it has a bucket: its first sync reads
    them.

    Raises:
        TenantNotFound, TenantSuspended, TenantOffboarding, TenantOffboarded.
        TenantNotActive: there is no bucket yet.
        InvalidInput: naming `metadata`, when it is more than the tenant's knowledge store takes, or `key`, when no form
            can be signed for it. Nothing is written then.
        KeySpelledOtherwise: nothing is written then, either. The tenant would be answered from both documents, and see
            one name.
        Throttled, NotReadyYet, AwsRefusal; BucketGone where metadata are to be written. NotReadyYet also where the
            bucket of a tenant that is still being provisioned does not show everywhere yet.
    """
    tenant = registry.get(tenant_id)
    tenant.in_service()
    if tenant.bucket_name is None:
        raise TenantNotActive(
            f"Tenant {tenant_id} has no bucket yet.", remedy=f"Run `kbfleet tenant add {tenant_id}` first."
        )
    bucket = names.bucket(tenant.this_life)  # what a record says of it proves nothing
    _require_one_spelling(bucket, upload.key, bucket_contents)
    metadata = None
    if upload.metadata:
        store = stores[tenant.knowledge_store]
        metadata = upload.metadata_file(store.max_metadata_bytes, store.max_metadata_attributes)
    form = uploads.form(bucket, upload, valid_for)
    if metadata is not None:
        try:
            uploads.put_metadata(bucket, upload.key, metadata)
        except ResourceMissing as error:
            if tenant.status is not TenantStatus.PROVISIONING:
                raise BucketGone.of(tenant_id) from error
            raise NotReadyYet(error.what, remedy="Try again in a minute: the bucket has just been made.") from error
    return form


def _require_one_spelling(bucket: str, key: DocumentKey, bucket_contents: BucketContents) -> None:
    """Raises: KeySpelledOtherwise. A key that is there itself is replaced, whatever else is."""
    others = other_spellings(key)
    if not others or bucket_contents.describe(bucket, f"s3://{bucket}/{key}") is not None:
        return
    for other in others:
        if bucket_contents.describe(bucket, f"s3://{bucket}/{other}") is not None:
            raise KeySpelledOtherwise(form_of(key), form_of(other))
