"""How the models are declared: their base class, fields, validity rules, durations, parsing, and OpenAPI schemas."""
