"""The composition root: it creates every part of the operator, connects them, and adapts one package to another."""
