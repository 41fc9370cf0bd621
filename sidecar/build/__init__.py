"""From sections of the configuration to parts: nothing here sees the whole of it, or starts anything."""
