"""A list of versions has its keys encoded, where that is asked for.

MiniStack ignores `encoding-type=url` in ListObjectVersions, though not in its lists of objects. Keys come as they are:
one with a control character makes XML that nobody can read, and in another one the end of a line is changed.

On AWS the key, prefix, delimiter and both key markers are percent-encoded, and `EncodingType` says so. AWS
documentation of ListObjectVersions, Response elements.
"""

import re
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import unescape

from ministack.services import s3

from local.stack.configuration import StackConfiguration

_ENCODED = re.compile("<(Key|Prefix|Delimiter|KeyMarker|NextKeyMarker)>(.*?)</", re.DOTALL)


def apply(configuration: StackConfiguration) -> None:  # noqa: ARG001 -- every correction takes it
    give = s3._list_object_versions

    def as_asked(bucket_name: str, query_params: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = give(bucket_name, query_params)
        if status == 200 and s3._qp(query_params, "encoding-type", "") == "url":
            body = _encoded(body.decode()).encode()
        return status, headers, body

    s3._list_object_versions = as_asked


def _encoded(listed: str) -> str:
    encoded = _ENCODED.sub(lambda found: f"<{found[1]}>{quote(unescape(found[2]), safe='/')}</", listed)
    return encoded.replace("</MaxKeys>", "</MaxKeys><EncodingType>url</EncodingType>", 1)
