"""kopf: watches both resources and passes the events on. Nothing is decided here."""
