"""Policies see the whole key of an object.

With authorization on, MiniStack leaves slashes out of an object's ARN where several follow each other, or where the key
begins with one: a permission for that one object permits nothing.

On AWS slashes mean nothing in a key, which is in the ARN as it is. AWS documentation, Naming Amazon S3 objects; service
authorization reference, Amazon S3, resource types.
"""

from typing import Any

from ministack.core import iam_actions

from local.stack.configuration import StackConfiguration


def apply(configuration: StackConfiguration) -> None:  # noqa: ARG001 -- every correction takes it
    extract_resource_arn = iam_actions.extract_resource_arn

    def with_all_slashes(service: str, method: str, path: str, *others: Any) -> str:
        arn: str = extract_resource_arn(service, method, path, *others)
        bucket, _, key = path.removeprefix("/").partition("/")
        return f"arn:aws:s3:::{bucket}/{key}" if service == "s3" and bucket and key.strip("/") else arn

    iam_actions.extract_resource_arn = with_all_slashes
