"""The command line `kubectl defender-devops`.

main              the program: arguments, exit status, and one line for each error (exit_codes)
commands          all commands with their arguments and options
completion        completion of names of connectors, namespaces and organizations; kubectl_completion answers kubectl
status, findings, pipelines, plan, check, import_, support    one folder for each command
control           reconcile, suspend, resume
authorize         opens the sign-in page
inputs            manifests, and what the cluster and Azure know of them, as plan and check need it
display           connectors and organizations as people read them, shared by several commands
cluster_access    the cluster, and connectors in it by name (cluster_target: the options that select it)
local_clients     Azure and Azure DevOps with the sign-in of this machine
output            tables, text, JSON, YAML

Commands plan, observe and check with the operator's own code. The operator does not import this package: its libraries
(typer, rich) are the extra `cli`.
"""
