"""Opening: what the settings name, put together for the commands that run on it."""
