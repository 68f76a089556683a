"""The pages on which a person signs in, sees what was found, and hands over Defender's one-time code."""
