"""One technology, one file: the edges, behind the protocols of `alcyon.domain.ports`."""
