"""Files: traffic of the past or of the simulation, read, changed, scored and sent."""
