"""Azure Resource Graph: one paged query reads all connectors of an identity.

client   a query and its pages
queries  the text of every query
rows     the rows of one connector
poller   the periodic query of one identity; pollers: those of all identities
"""
