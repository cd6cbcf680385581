"""What a granted upload lets its holder do, wherever it is signed. S3 itself is asked in tests/local and tests/e2e."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ministack.core import iam_evaluator

from kbfleet import bootstrap
from kbfleet.adapters.s3_uploads import S3Uploads, upload_policy, uploads_policy
from kbfleet.adapters.scoped_credentials import MAX_POLICY, ScopedRole, serialized
from kbfleet.domain.errors import InvalidInput, ResourceMissing
from kbfleet.domain.uploads import DocumentKey, Upload, UploadForm
from kbfleet.responses import status_of
from local.corrections.policy_conditions import matching
from tests.support.aws import client as aws_client
from tests.support.clock import START, FakeClock
from tests.support.samples import ACCOUNT

BUCKET = "kbfleet-acme-0123456789"
KEY = DocumentKey("規程/就業 規則 <&>.pdf")
UPLOAD = Upload(KEY, 12_345)


@pytest.fixture(params=["us-east-1", "ap-northeast-1"])
def client(aws: None, request: pytest.FixtureRequest) -> Any:
    """Of the settings that the composition root makes it with."""
    return aws_client("s3", region=request.param, config=bootstrap._CLIENT.merge(bootstrap._SIGNED_FOR_ITS_REGION))


class World:
    """Forms, what was asked of STS for them, and the clients that signed them."""

    def __init__(self, client: Any, lasting: timedelta = timedelta(hours=1)) -> None:
        self.clock = FakeClock()
        self.assumed: list[dict[str, Any]] = []
        self.made: list[dict[str, str]] = []
        self._region = client.meta.region_name
        self.sts = sts = aws_client("sts", region=self._region)
        sts.meta.events.register("provide-client-params.sts.AssumeRole", self._note)
        sts.meta.events.register("after-call.sts.AssumeRole", partial(self._expire, lasting))
        self.uploads = S3Uploads(
            client,
            uploader=ScopedRole(sts, f"arn:aws:iam::{ACCOUNT}:role/uploader"),
            make=self._make,
            objects="arn:aws:s3:::",
            account=ACCOUNT,
            clock=self.clock,
        )

    def _note(self, params: dict[str, Any], **_: Any) -> None:
        self.assumed.append(params)

    def _expire(self, lasting: timedelta, parsed: dict[str, Any], **_: Any) -> None:
        if "Credentials" in parsed:
            parsed["Credentials"]["Expiration"] = self.clock.now() + lasting

    def _make(self, **credentials: str) -> Any:
        self.made.append(credentials)
        config = bootstrap._CLIENT.merge(bootstrap._SIGNED_FOR_ITS_REGION)
        return aws_client("s3", region=self._region, config=config, **credentials)


@pytest.fixture
def world(client: Any) -> World:
    return World(client)


@pytest.fixture
def uploads(world: World) -> S3Uploads:
    return world.uploads


def form_of(uploads: S3Uploads, upload: Upload, lifetime: timedelta) -> UploadForm:
    """The one form for one document. Raises: InvalidInput where there is none."""
    (form,) = uploads.forms(BUCKET, [upload], lifetime)
    if isinstance(form, InvalidInput):
        raise form
    return form


def policy_of(fields: Any) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(base64.b64decode(fields["policy"]))
    return decoded


def test_the_policy_pins_bucket_key_type_and_size(uploads: S3Uploads) -> None:
    form = form_of(uploads, UPLOAD, timedelta(minutes=15))
    conditions = policy_of(form.fields)["conditions"]
    for condition in (
        {"bucket": BUCKET},
        {"key": str(KEY)},
        {"Content-Type": "application/pdf"},
        ["content-length-range", 12_345, 12_345],
    ):
        assert condition in conditions
    assert (form.fields["key"], form.fields["Content-Type"]) == (KEY, "application/pdf")


def test_it_ends_when_it_says(uploads: S3Uploads) -> None:
    form = form_of(uploads, UPLOAD, timedelta(minutes=15))
    signed_at = datetime.strptime(f"{form.fields['x-amz-date']}+0000", "%Y%m%dT%H%M%SZ%z")
    ends = datetime.fromisoformat(policy_of(form.fields)["expiration"])
    assert abs((ends - signed_at - timedelta(minutes=15)).total_seconds()) <= 1
    assert form.expires_at == START + timedelta(minutes=15)


def test_it_is_signed_with_credentials_of_its_own_for_that_object(world: World) -> None:
    form = form_of(world.uploads, UPLOAD, timedelta(minutes=20))
    ((asked), (credentials)) = (world.assumed[0], world.made[0])
    assert (asked["RoleSessionName"], asked["DurationSeconds"]) == (BUCKET, 1_200)
    assert json.loads(asked["Policy"]) == upload_policy(f"arn:aws:s3:::{BUCKET}/", str(KEY))
    assert form.fields["x-amz-security-token"] == credentials["aws_session_token"]
    assert form.fields["x-amz-credential"].startswith(f"{credentials['aws_access_key_id']}/")
    form_of(world.uploads, UPLOAD, timedelta(minutes=1))
    assert (len(world.assumed), world.assumed[1]["DurationSeconds"]) == (2, 900)


def test_it_ends_with_its_credentials_if_these_end_first(client: Any) -> None:
    form = form_of(World(client, lasting=timedelta(minutes=10)).uploads, UPLOAD, timedelta(minutes=15))
    assert form.expires_at == START + timedelta(minutes=10)


def allows(key: str, bucket: str, other: str) -> bool:
    """Whether the policy for `key` in BUCKET opens that object."""
    return allowed_by(upload_policy(f"arn:aws:s3:::{BUCKET}/", key), bucket, other)


def allowed_by(document: dict[str, Any], bucket: str, other: str) -> bool:
    context = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/uploader/{BUCKET}",
        principal_type="AssumedRole",
        principal_account=ACCOUNT,
        action="s3:PutObject",
        resource_arn=f"arn:aws:s3:::{bucket}/{other}",
        region="us-east-1",
        service_context={},
    )
    policy = iam_evaluator.parse_policy_document(document)
    with patch.object(iam_evaluator, "_fnmatch_compile", matching):
        return bool(iam_evaluator.evaluate(context, [policy]).decision == "Allow")


@pytest.mark.parametrize(
    ("key", "others"),
    [
        ("*.pdf", ["a.pdf", ".pdf", "**.pdf", "*.pdf.metadata.json", "${*}.pdf"]),
        ("*", ["a", "a/b", "**"]),
        ("a?.pdf", ["ab.pdf", "a.pdf", "a??.pdf"]),
        ("${aws:username}.pdf", ["root.pdf", "", "$.pdf"]),
        ("${*}.pdf", ["*.pdf", "a.pdf"]),
        ("a$b.pdf", ["ab.pdf", "a.pdf", "a${$}b.pdf"]),
        ('x", "Resource": "*', ["x", "a"]),
        ("a\\b:c.pdf", ["a", "ab:c.pdf", "a\\b"]),
        ("A.pdf", ["a.pdf"]),
    ],
)
def test_a_key_that_means_something_in_a_policy_opens_itself_and_nothing_else(key: str, others: list[str]) -> None:
    assert allows(key, BUCKET, key)
    assert [other for other in others if allows(key, BUCKET, other)] == []


def test_a_key_beyond_ascii_opens_what_is_alike_in_ascii_and_in_its_own_bucket() -> None:
    key = "規程/就業 規則 v2.pdf"
    assert allows(key, BUCKET, key)
    assert not allows(key, BUCKET, "規程/就業 規則 v3.pdf")
    assert not allows(key, BUCKET, f"{key}.metadata.json")
    assert not allows(key, "kbfleet-sakura-0123456789", key)


LONGEST = ["x" * 1_024, "*" * 1_024, "$" * 1_024, "規" * 341, "規a" * 256, '"' * 1_024, "\\" * 1_024]


@pytest.mark.parametrize("key", LONGEST, ids=[key[:2] for key in LONGEST])
def test_a_key_that_is_too_long_for_a_policy_is_pinned_by_its_beginning(key: str) -> None:
    policy = upload_policy(f"arn:aws:s3:::{'b' * 63}/", key)
    assert len(serialized(policy)) <= MAX_POLICY
    assert serialized(policy).isascii()
    assert allows(key, BUCKET, key)
    assert not allows(key, "kbfleet-sakura-0123456789", key)
    assert not allows(key, f"{BUCKET}x", key)


def opened_by(policy: dict[str, Any]) -> list[str]:
    """The resources of a policy's one statement."""
    (statement,) = policy["Statement"]
    resources = statement["Resource"]
    return [resources] if isinstance(resources, str) else resources


def keyed(*keys: str) -> list[Upload]:
    return [Upload(DocumentKey(key), number + 1) for number, key in enumerate(keys)]


class TestSeveral:
    """Forms for several documents at once."""

    def test_are_signed_with_credentials_for_these_alone(self, world: World) -> None:
        uploads = keyed("a.pdf", "規程/就業規則.pdf", "b/c.md", "*.md")
        forms = world.uploads.forms(BUCKET, uploads, timedelta(minutes=15))
        (asked,) = world.assumed
        assert len(world.made) == 1
        objects = f"arn:aws:s3:::{BUCKET}/"
        assert opened_by(json.loads(asked["Policy"])) == [
            f"{objects}{key}" for key in ("a.pdf", "*/*.pdf", "b/c.md", "${*}.md")
        ]
        for upload, form in zip(uploads, forms, strict=True):
            assert isinstance(form, UploadForm)
            conditions = policy_of(form.fields)["conditions"]
            assert {"key": str(upload.key)} in conditions
            assert ["content-length-range", upload.size, upload.size] in conditions

    def test_of_which_a_policy_cannot_hold_all_are_signed_in_parts(self, world: World) -> None:
        uploads = keyed(*(f"{number}{'x' * 200}.pdf" for number in range(25)))
        forms = world.uploads.forms(BUCKET, uploads, timedelta(minutes=15))
        assert [form.fields["key"] for form in forms if isinstance(form, UploadForm)] == [each.key for each in uploads]
        assert all(len(asked["Policy"]) <= MAX_POLICY for asked in world.assumed)
        opened = [key for asked in world.assumed for key in opened_by(json.loads(asked["Policy"]))]
        assert opened == [f"arn:aws:s3:::{BUCKET}/{each.key}" for each in uploads]
        assert len(world.assumed) < len(uploads) / 2

    @pytest.mark.parametrize("room", [400, 1_000, 2_000])
    def test_that_are_too_many_for_a_packed_policy_are_halved(self, world: World, room: int) -> None:
        packs_at_most(world, room)
        uploads = keyed(*(f"chapter {number} of the handbook.pdf" for number in range(25)))
        forms = world.uploads.forms(BUCKET, uploads, timedelta(minutes=15))
        assert [form.fields["key"] for form in forms if isinstance(form, UploadForm)] == [each.key for each in uploads]

    def test_of_which_one_cannot_be_signed_for_are_signed_but_that(self, world: World) -> None:
        def refuse(params: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]] | None:
            if "odd" not in params["body"]["Policy"]:
                return None
            error = {"Code": "PackedPolicyTooLarge", "Message": "Packed policy consumes 112%."}
            return SimpleNamespace(status_code=400), {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 400}}

        world.sts.meta.events.register("before-call.sts.AssumeRole", refuse)
        forms = world.uploads.forms(BUCKET, keyed("a.pdf", "odd.pdf", "b.pdf"), timedelta(minutes=15))
        assert [type(form) for form in forms] == [UploadForm, InvalidInput, UploadForm]

    def test_of_none_nobody_is_asked(self, world: World) -> None:
        assert world.uploads.forms(BUCKET, [], timedelta(minutes=15)) == []
        assert world.assumed == []

    @settings(deadline=None)
    @given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=5), st.text(min_size=1, max_size=30))
    def test_open_themselves_and_nothing_of_another_bucket(self, keys: list[str], other: str) -> None:
        policy = uploads_policy(f"arn:aws:s3:::{BUCKET}/", keys)
        assert all(allowed_by(policy, BUCKET, key) for key in keys)
        assert not allowed_by(policy, f"{BUCKET}x", other)
        plain = all(key.isascii() and key.isprintable() for key in keys)
        if plain and other not in keys:
            assert not allowed_by(policy, BUCKET, other)


def packs_at_most(world: World, characters: int) -> None:
    """STS refuses longer policies, as it does where their packed form is too large: how that is counted is not said."""

    def refuse(params: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]] | None:
        if len(params["body"]["Policy"]) <= characters:
            return None
        message = "Packed policy consumes 112% of allotted space, please use smaller policy."
        error = {"Code": "PackedPolicyTooLarge", "Message": message}
        return SimpleNamespace(status_code=400), {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 400}}

    world.sts.meta.events.register("before-call.sts.AssumeRole", refuse)


LONG_KEYS = ["x" * 1_006, "規" * 335, "規a" * 251, '"' * 1_006, "*" * 1_006, "$" * 1_006]


@pytest.mark.parametrize("key", LONG_KEYS, ids=[key[:2] for key in LONG_KEYS])
@pytest.mark.parametrize("room", [2_047, 1_500, 512])
def test_a_key_that_is_too_long_for_a_packed_policy_is_pinned_by_less_of_it(world: World, key: str, room: int) -> None:
    packs_at_most(world, room)
    upload = Upload(DocumentKey(f"{key}.pdf"), 12_345)
    form = form_of(world.uploads, upload, timedelta(minutes=15))
    assert {"key": str(upload.key)} in policy_of(form.fields)["conditions"]
    accepted = world.assumed[-1]["Policy"]
    assert len(accepted) <= room
    assert json.loads(accepted) == upload_policy(f"arn:aws:s3:::{BUCKET}/", str(upload.key), len(accepted))
    (statement,) = json.loads(accepted)["Statement"]
    assert statement["Resource"].startswith(f"arn:aws:s3:::{BUCKET}/")


def test_where_not_even_a_short_policy_is_taken_the_key_is_refused(world: World) -> None:
    packs_at_most(world, 0)
    with pytest.raises(InvalidInput) as refused:
        form_of(world.uploads, UPLOAD, timedelta(minutes=15))
    assert (refused.value.field, status_of(type(refused.value))) == ("key", HTTPStatus.BAD_REQUEST)
    assert len(world.assumed) <= 3


@settings(deadline=None)
@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
def test_every_key_opens_itself_and_no_key_another_bucket(key: str, other: str) -> None:
    assert allows(key, BUCKET, key)
    assert not allows(key, f"{BUCKET}x", other)
    assert not allows(key, "kbfleet-sakura", f"../{BUCKET}/{key}")
    if key.isascii() and key.isprintable() and other != key:
        assert not allows(key, BUCKET, other)


def test_it_is_signed_for_the_buckets_own_region_and_with_version_4(uploads: S3Uploads, client: Any) -> None:
    form = form_of(uploads, UPLOAD, timedelta(minutes=15))
    assert form.url == f"https://{BUCKET}.s3.{client.meta.region_name}.amazonaws.com/"
    assert form.fields["x-amz-algorithm"] == "AWS4-HMAC-SHA256"


def test_metadata_are_stored_beside_the_document(uploads: S3Uploads, client: Any) -> None:
    place = {"CreateBucketConfiguration": {"LocationConstraint": client.meta.region_name}}
    client.create_bucket(Bucket=BUCKET, **({} if client.meta.region_name == "us-east-1" else place))
    content = '{"metadataAttributes":{"部署":"営業"}}'.encode()
    uploads.put_metadata(BUCKET, KEY, content)
    stored = client.get_object(Bucket=BUCKET, Key=f"{KEY}.metadata.json")
    assert (stored["Body"].read(), stored["ContentType"]) == (content, "application/json")


def test_a_bucket_that_is_gone_is_reported(uploads: S3Uploads) -> None:
    with pytest.raises(ResourceMissing):
        uploads.put_metadata(BUCKET, KEY, b"{}")
