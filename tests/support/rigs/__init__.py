"""Balance sources on real servers behind what misbehaves, each in the same few words."""
