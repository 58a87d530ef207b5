"""Balance sources on real servers, with the same set of faults for each."""
