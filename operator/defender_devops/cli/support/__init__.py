"""`support-bundle`: what a maintainer needs to help, without secrets."""
