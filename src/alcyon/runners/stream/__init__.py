"""The stream: records are read in order, decided, committed, recovered and recomputed."""
