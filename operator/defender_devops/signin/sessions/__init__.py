"""The sign-in of each connector while the operator runs, and the facade through which the rest of it uses them."""
