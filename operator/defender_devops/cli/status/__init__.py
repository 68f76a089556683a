"""`status`: the state of connectors and organizations, as a tree, lines, a table, JSON or YAML."""
