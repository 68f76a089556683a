"""`status`: show connectors and their organizations as a tree, lines, a table or a document."""
