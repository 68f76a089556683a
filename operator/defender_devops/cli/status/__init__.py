"""How connectors and their organizations stand: a tree on a terminal, lines elsewhere, a table, JSON or YAML."""
