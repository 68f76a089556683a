"""Pipelines of an organization: which repositories are scanned, as evidence for `reconcile.facts.pipelines`.

fields                 fields of JSON
inventory              projects, repositories, pipelines and their latest builds
builds                 artifacts, timeline and YAML of one build, file or preview; yaml_reading: what YAML says
organization_settings  extension, features of GitHub Advanced Security, branch policies
code_search            which files name the task
pace                   the share of an account's rate limit
evidence_store         evidence as bytes, and back
sweep                  reads everything in small steps, and continues after a restart
"""
