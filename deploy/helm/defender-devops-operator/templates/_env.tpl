{{/*
The operator's settings as environment variables. A key of `settings` is the setting of the same name:
refreshInterval is DEFENDER_DEVOPS_REFRESH_INTERVAL.
*/}}
{{- define "defender-devops-operator.env" -}}
- name: DEFENDER_DEVOPS_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: DEFENDER_DEVOPS_LEASE_NAME
  value: {{ include "defender-devops-operator.fullname" . | quote }}
{{- if gt (int .Values.replicaCount) 1 }}
- name: DEFENDER_DEVOPS_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end }}
{{- with .Values.watchNamespaces }}
- name: DEFENDER_DEVOPS_NAMESPACES
  value: {{ toJson . | quote }}
{{- end }}
{{- with .Values.clusterId }}
- name: DEFENDER_DEVOPS_CLUSTER_ID
  value: {{ . | quote }}
{{- end }}
{{- with .Values.identityGrants }}
- name: DEFENDER_DEVOPS_IDENTITY_GRANTS
  value: {{ toJson . | quote }}
{{- end }}
- name: DEFENDER_DEVOPS_METRICS_PORT
  value: {{ .Values.metrics.port | quote }}
{{- if .Values.signIn.enabled }}
{{- with include "defender-devops-operator.signInUrl" . }}
- name: DEFENDER_DEVOPS_SIGNIN_URL
  value: {{ . | quote }}
{{- end }}
- name: DEFENDER_DEVOPS_SIGNIN_PORT
  value: {{ include "defender-devops-operator.signInPort" . | quote }}
{{- end }}
{{- range $key, $value := .Values.settings }}
{{- if not (or (kindIs "invalid" $value) (eq "" (toString $value))) }}
- name: DEFENDER_DEVOPS_{{ $key | snakecase | upper }}
  value: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
{{- end }}
{{- end }}
{{- if .Values.caBundle.configMapName }}
- name: SSL_CERT_FILE
  value: /etc/defender-devops/ca/ca.crt
{{- end }}
{{- if eq (include "defender-devops-operator.projectsToken" .) "true" }}
- name: AZURE_CLIENT_ID
  value: {{ .Values.workloadIdentity.clientId | quote }}
- name: AZURE_TENANT_ID
  value: {{ .Values.workloadIdentity.tenantId | quote }}
- name: AZURE_FEDERATED_TOKEN_FILE
  value: /var/run/secrets/azure/tokens/azure-identity-token
{{- end }}
{{- end }}

{{/* Container port of the sign-in pages; they have a port of their own, whichever the metrics use. */}}
{{- define "defender-devops-operator.signInPort" -}}
{{- ternary 8082 8081 (eq (int .Values.metrics.port) 8081) }}
{{- end }}
