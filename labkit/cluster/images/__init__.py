"""Container images of a real cluster: which ones the lab needs, pinned by digest, and stand-ins where they cannot be had."""
