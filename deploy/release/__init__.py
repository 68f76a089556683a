"""Builds, checks and describes the artifacts of a release; `python -m deploy.release --help` lists the commands.

What GitHub's workflows do beyond these commands is what only they can: push, sign and publish.
"""
