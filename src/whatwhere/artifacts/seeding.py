"""One random number stream for each stage and image, whatever the shard, order or core it runs on."""

import hashlib


def seed_for(seed: int, *names: str) -> int:
    """A seed made from the config's and the names (stage, image id): equal inputs, equal seeds; 32 bits."""
    text = "\0".join([str(seed), *names])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")
