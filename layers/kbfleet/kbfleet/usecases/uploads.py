"""Letting a tenant's back end upload documents without knowing any bucket."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kbfleet.domain.document_names import appearance, form_of, other_spellings
from kbfleet.domain.errors import (
    BucketGone,
    InvalidInput,
    KeySpelledOtherwise,
    NotReadyYet,
    ResourceMissing,
    TenantNotActive,
)
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.uploads import GrantedUpload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import timedelta

    from kbfleet.domain.names import ResourceNames, TenantId
    from kbfleet.domain.tenant import Tenant
    from kbfleet.domain.uploads import DocumentKey, StoredObject, Upload, UploadForm
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
    """As `grant_uploads`, of a single document.

    Raises: as there; and InvalidInput, KeySpelledOtherwise where it is refused, or is there by its MD5.
    """
    (granted,) = grant_uploads(
        tenant_id,
        [upload],
        valid_for=valid_for,
        registry=registry,
        stores=stores,
        uploads=uploads,
        bucket_contents=bucket_contents,
        names=names,
    )
    if granted.form is None:
        raise granted.refusal or InvalidInput("md5", "is that of the document that is there.")
    return granted.form


def grant_uploads(
    tenant_id: TenantId,
    wanted: Sequence[Upload],
    *,
    valid_for: timedelta,
    registry: TenantRegistry,
    stores: Mapping[str, KnowledgeStore],
    uploads: Uploads,
    bucket_contents: BucketContents,
    names: ResourceNames,
) -> Sequence[GrantedUpload]:
    """For each of some documents, in order, the form by which it can be uploaded, or why there is none: it is refused,
    or is there already, by its MD5. Its metadata file, if there is one and it is another than what is there, is
    written with the form, so that whoever uploads sends one thing only; also where the document stays as it is.

    A refusal is an InvalidInput: naming `metadata`, when it is more than the tenant's knowledge store takes, or `key`,
    when no form can be signed for it or it is given twice; or a KeySpelledOtherwise: the tenant would be answered from
    both documents, and see one name. Nothing is written for a document that is refused.

    A tenant that is still being provisioned may be given documents as soon as it has a bucket: its first sync reads
    them.

    Raises:
        TenantNotFound, TenantSuspended, TenantOffboarding, TenantOffboarded.
        TenantNotActive: there is no bucket yet.
        BucketGone, Throttled, NotReadyYet, AwsRefusal. NotReadyYet also where the bucket of a tenant that is still
            being provisioned does not show everywhere yet.
    """
    tenant = registry.get(tenant_id)
    tenant.in_service()
    if tenant.bucket_name is None:
        raise TenantNotActive(
            f"Tenant {tenant_id} has no bucket yet.", remedy=f"Run `kbfleet tenant add {tenant_id}` first."
        )
    bucket = names.bucket(tenant.this_life)  # what a record says of it proves nothing
    store = stores[tenant.knowledge_store]
    with _there(tenant):
        # All that the answers depend on is looked up in as few calls as S3's list allows.
        looked_up = {name for each in wanted for name in (each.key, each.key.metadata_key, *other_spellings(each.key))}
        there = bucket_contents.objects(bucket, looked_up)
        answers: dict[int, GrantedUpload] = {}
        to_write: dict[int, bytes] = {}
        forms_for: list[int] = []
        for number, upload in enumerate(wanted):
            try:
                _require_one_of_a_name(upload, wanted[:number])
                _require_one_spelling(upload.key, there)
                metadata = upload.metadata_content(store.max_metadata_bytes, store.max_metadata_attributes)
            except InvalidInput as refusal:
                other = next((each for each in other_spellings(upload.key) if each in there), "")
                there_as = other if isinstance(refusal, KeySpelledOtherwise) else ""
                answers[number] = GrantedUpload(upload.key, refusal=refusal, there_as=there_as)
                continue
            if metadata is not None and not _holds(there.get(upload.key.metadata_key), metadata):
                to_write[number] = metadata
            document = there.get(upload.key)
            if document is None or not document.holds(upload.size, upload.md5):
                forms_for.append(number)
        forms = uploads.forms(bucket, [wanted[number] for number in forms_for], valid_for)
        granted = dict(zip(forms_for, forms, strict=True))
        for number, upload in enumerate(wanted):
            form = granted.get(number)
            if isinstance(form, InvalidInput):
                answers[number] = GrantedUpload(upload.key, refusal=form)
            elif number not in answers:
                if number in to_write:
                    uploads.put_metadata(bucket, upload.key, to_write[number])
                answers[number] = GrantedUpload(upload.key, form, metadata_written=number in to_write)
    return [answers[number] for number in range(len(wanted))]


@contextmanager
def _there(tenant: Tenant) -> Iterator[None]:
    """Raises: BucketGone or NotReadyYet where what is done about the bucket finds none."""
    try:
        yield
    except ResourceMissing as error:
        if tenant.status is not TenantStatus.PROVISIONING:
            raise BucketGone.of(tenant.tenant_id) from error
        raise NotReadyYet(error.what, remedy="Try again in a minute: the bucket has just been made.") from error


def _require_one_of_a_name(upload: Upload, before: Sequence[Upload]) -> None:
    """Raises: InvalidInput. Two that look the same would both be new, and both be answered from."""
    if appearance(upload.key) in {appearance(each.key) for each in before}:
        raise InvalidInput("key", "is given twice, perhaps in two forms of Unicode.")


def _require_one_spelling(key: DocumentKey, there: Mapping[str, StoredObject]) -> None:
    """Raises: KeySpelledOtherwise. A key that is there itself is replaced, whatever else is."""
    if key in there:
        return
    for other in other_spellings(key):
        if other in there:
            raise KeySpelledOtherwise(form_of(key), form_of(other))


def _holds(there: StoredObject | None, content: bytes) -> bool:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return there is not None and there.holds(len(content), md5)
