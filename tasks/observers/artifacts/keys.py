"""Names of artifacts: the server takes lowercase letters, digits and dashes."""

import re
from hashlib import sha256

__all__ = ["artifact_key"]

_MOST = 60


def artifact_key(experiment: str, kind: str) -> str:
    """The key of one of an experiment's artifacts: the next run of it makes the next version of this one.

    A name that cannot be part of a key as it is gets a mark of its own: `A_b` and `a-b` stay apart.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", experiment.lower()).strip("-")[:_MOST].strip("-")
    if slug != experiment:
        mark = sha256(experiment.encode("utf-8", "surrogatepass")).hexdigest()[:6]
        slug = f"{slug}-{mark}" if slug else mark
    return f"{slug}-{kind}"
