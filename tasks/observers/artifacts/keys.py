"""Keys of artifacts: the server accepts lowercase letters, digits and dashes."""

import re
from hashlib import sha256

__all__ = ["artifact_key"]

_MOST = 60


def artifact_key(experiment: str, kind: str) -> str:
    """Return the key of an artifact; each run of the experiment makes a new version under the same key.

    A name that is not valid in a key is extended with a hash, so that `A_b` and `a-b` have different keys.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", experiment.lower()).strip("-")[:_MOST].strip("-")
    if slug != experiment:
        mark = sha256(experiment.encode("utf-8", "surrogatepass")).hexdigest()[:6]
        slug = f"{slug}-{mark}" if slug else mark
    return f"{slug}-{kind}"
