"""labkit: the teaching lab's own package; the notebook's front door is added here as the lab grows."""
