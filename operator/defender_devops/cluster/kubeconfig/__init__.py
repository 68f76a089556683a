"""Address and credentials of the API server.

credentials        what the client uses, loaded from a pod's service account or a kubeconfig, and reloaded
files              read and merge kubeconfig files, and reject what is not supported
exec_credential    run the exec command of a kubeconfig
"""
