"""kopf's part: it watches both resources and hands over what it sees. No decision is made here."""
