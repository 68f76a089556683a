{{/*
Permissions in each watched namespace: one ClusterRole, or the same rules as a Role in each of the namespaces.
*/}}
{{- define "defender-devops-operator.watchedRules" -}}
# Watch both resources, add the finalizer to connectors, and release organizations that a user declares.
- apiGroups: [defender-devops.io]
  resources: [azuredevopsconnectors]
  verbs: [get, list, watch, patch]
# Generate a DevOpsOrganization for each organization that Azure returns, and delete generated ones.
- apiGroups: [defender-devops.io]
  resources: [devopsorganizations]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [defender-devops.io]
  resources: [azuredevopsconnectors/status, devopsorganizations/status]
  verbs: [patch]
# Secrets that connectors reference. List and watch of Secrets IS read access to all of them: watchNamespaces limits it.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch]
{{- if .Values.signIn.enabled }}
# Sign-in tokens: the operator writes only Secrets of its own type. RBAC cannot express that; its code enforces it.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, update]
{{- end }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* Labels that aggregate a role to these roles of the cluster. */}}
{{- define "defender-devops-operator.aggregation" -}}
{{- range . }}
rbac.authorization.k8s.io/aggregate-to-{{ . }}: "true"
{{- end }}
{{- end }}
