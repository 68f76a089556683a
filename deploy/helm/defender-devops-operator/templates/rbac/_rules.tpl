{{/*
What the operator does in each namespace that it watches. Cluster-wide it is one ClusterRole, else a Role in each of
the namespaces: the rules are the same.
*/}}
{{- define "defender-devops-operator.watchedRules" -}}
# Watches both resources, puts its finalizer on connectors and lets go of organizations that somebody decided about.
- apiGroups: [defender-devops.io]
  resources: [azuredevopsconnectors]
  verbs: [list, watch, patch]
# Generates an organization for each one that Defender finds, and deletes those it generated.
- apiGroups: [defender-devops.io]
  resources: [devopsorganizations]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [defender-devops.io]
  resources: [azuredevopsconnectors/status, devopsorganizations/status]
  verbs: [patch]
# Secrets that connectors name. List and watch of Secrets IS read access to all of them: the namespaced scope exists for that.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch]
{{- if .Values.signIn.enabled }}
# Sign-in tokens: the operator writes only Secrets of its own type that the connector owns. RBAC cannot say that; its code does.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, update]
{{- end }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
