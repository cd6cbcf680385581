"""Deleting versions in a batch needs the permission to delete versions.

With authorization on, MiniStack asks `s3:DeleteObject` for the first object of DeleteObjects, also when a version of it
is named; for the others it asks what AWS asks for all of them: `s3:DeleteObjectVersion`. AWS documentation of
DeleteObjects, Permissions.
"""

from typing import Any

from ministack.core import iam_actions

from local.stack.configuration import StackConfiguration


def apply(configuration: StackConfiguration) -> None:  # noqa: ARG001 -- every correction takes it
    extract_iam_action = iam_actions.extract_iam_action

    def of_the_first_object(
        service: str, method: str, path: str, headers: Any, body: bytes, query_params: dict[str, Any]
    ) -> str | None:
        action: str | None = extract_iam_action(service, method, path, headers, body, query_params)
        if service == "s3" and action == "s3:DeleteObject" and method == "POST" and "delete" in query_params:
            targets = iam_actions._s3_batch_delete_targets(path.strip("/").partition("/")[0], body)
            if targets and targets[0][1]:
                return "s3:DeleteObjectVersion"
        return action

    iam_actions.extract_iam_action = of_the_first_object
