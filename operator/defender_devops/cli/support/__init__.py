"""A bundle for whoever is asked for help: what there is to see, and nothing that is secret.

redaction  what is taken out of a body (pure)
collect    what is read, each part as far as the rights go
run        the command
"""
