"""What Lambda's managed Python runtime brings, as a folder for the search path."""

import importlib.util
import shutil
from pathlib import Path

RUNTIME_PACKAGES = (
    *("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py"),
    *("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3"),
)
"""What the managed runtime's /var/runtime holds: the client with its dependencies, and boto3 with its own."""


def make_runtime_directory(directory: Path) -> Path:
    """A folder with nothing but the runtime's packages, as links into this interpreter's site-packages.

    Raises: ModuleNotFoundError when one of them is not installed.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for package in RUNTIME_PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"{package} is not installed, and the Python runtime needs it", name=package)
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (directory / source.name).symlink_to(source)
    return directory
