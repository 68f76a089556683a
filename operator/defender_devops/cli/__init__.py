"""`kubectl defender-devops`: what a person asks of connectors from the command line.

main            the program: its exit status, and one line for whatever goes wrong (exits)
commands        all commands with their arguments and options, and nothing else
completion      what the shell completes
output          tables, JSON, YAML
manifests       files that people write
cluster_access  the cluster, and connectors in it by name, with a suggestion where the name is wrong
laptop          Azure and Azure DevOps, with the sign-in of this machine
status          how connectors stand
planning        what a manifest would change in Azure
checking        what stands in the way of a connector
importing       manifests for what exists in Azure
authorizing, asking, support    the rest, one command or a few each

It plans, observes and checks with the operator's own code; what is here only asks and shows. The operator does not
import it: its libraries are the extra `cli`.
"""
