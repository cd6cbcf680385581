"""Takes out of a folder with botocore what it knows of services other than those of services.txt.

botocore describes some 400 services. For its first client it looks through the folders and reads the endpoints of all,
which is a good part of a cold start.

Usage: python keep_called_services.py FOLDER
"""

import gzip
import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path


def keep(data: Path, services: Iterable[str]) -> None:
    """Leaves these services and what botocore needs for all.

    Args:
        data: botocore's own folder of that name.
    """
    kept = set(services)
    for folder in filter(Path.is_dir, list(data.iterdir())):
        if folder.name not in kept:
            shutil.rmtree(folder)
    prefixes = {_endpoint_prefix(model) for model in data.glob("*/*/service-2.json.gz")} | kept
    endpoints = data / "endpoints.json"
    document = json.loads(endpoints.read_text("utf-8"))
    for partition in document["partitions"]:
        partition["services"] = {name: found for name, found in partition["services"].items() if name in prefixes}
    # Not into the file: installers link it from their cache, so it may be every environment's on this machine.
    endpoints.unlink()
    endpoints.write_text(json.dumps(document), "utf-8")


def _endpoint_prefix(model: Path) -> str:
    """The name by which the endpoints of a service are kept."""
    return json.loads(gzip.decompress(model.read_bytes()))["metadata"]["endpointPrefix"]


if __name__ == "__main__":
    keep(Path(sys.argv[1]) / "botocore" / "data", Path(__file__).with_name("services.txt").read_text("utf-8").split())
