"""Server-side apply: fields have owners, and taking one over needs force."""
