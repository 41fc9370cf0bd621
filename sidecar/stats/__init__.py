"""Statistics of features: vectorised over all features at once, bounded, and mergeable."""
