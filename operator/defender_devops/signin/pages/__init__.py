"""Web pages on which a person signs in, sees the checks of their organizations, and pastes Defender's one-time code."""
