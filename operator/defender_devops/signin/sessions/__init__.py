"""The sign-in of each connector, and the facade through which the rest of the operator uses them."""
