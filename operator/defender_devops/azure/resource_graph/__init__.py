"""Azure Resource Graph: one paged query reads all connectors of an identity, another one counts recommendations.

client           a query and its pages
queries          the text of every query
rows             the rows of one connector
recommendations  the rows of single recommendations: findings, and the categories that have results
posture_rows     the numbers of recommendations of each organization
poll_loop        when a poller queries
poller           the periodic query of one identity for its connectors; posture_poller: for their recommendations
pollers          the pollers of all identities
"""
