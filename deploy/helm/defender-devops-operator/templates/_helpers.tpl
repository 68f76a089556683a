{{/* Name of the chart, or nameOverride. */}}
{{- define "defender-devops-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of most objects: the release's name, followed by the chart's unless the release's contains it. */}}
{{- define "defender-devops-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := include "defender-devops-operator.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{/* Name of roles outside the release's namespace: two releases with the same name in two namespaces must not collide. */}}
{{- define "defender-devops-operator.scopedName" -}}
{{- printf "%s:%s" (include "defender-devops-operator.fullname" .) .Release.Namespace }}
{{- end }}

{{- define "defender-devops-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "defender-devops-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is required if serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Selector of the pods. It must not change during the life of a release: a Deployment's selector is immutable. */}}
{{- define "defender-devops-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "defender-devops-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "defender-devops-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "defender-devops-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: defender-devops-operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Annotations of the service account: those of Azure workload identity, and the user's, which take precedence. */}}
{{- define "defender-devops-operator.serviceAccountAnnotations" -}}
{{- $annotations := dict }}
{{- with .Values.workloadIdentity }}
{{- if .enabled }}
{{- with .clientId }}
{{- $_ := set $annotations "azure.workload.identity/client-id" . }}
{{- end }}
{{- with .tenantId }}
{{- $_ := set $annotations "azure.workload.identity/tenant-id" . }}
{{- end }}
{{- end }}
{{- end }}
{{- with merge (deepCopy .Values.serviceAccount.annotations) $annotations }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* A Service's name is a DNS label: at most 63 characters with the suffix. */}}
{{- define "defender-devops-operator.metricsName" -}}
{{- printf "%s-metrics" (include "defender-devops-operator.fullname" . | trunc 55 | trimSuffix "-") }}
{{- end }}

{{/* Secret with the key of the sign-in pages; the operator creates it under this fixed name. */}}
{{- define "defender-devops-operator.keySecretName" -}}
defender-devops-signin-key
{{- end }}

{{/* Label of the leader's pod; with standbys the Service of the sign-in pages selects by it. */}}
{{- define "defender-devops-operator.leaderLabels" -}}
defender-devops.io/role: leader
{{- end }}

{{/*
Not empty if an object of an API that the cluster may lack should be rendered. Arguments: context, mode (renderMode),
api (group/version/kind), value (path in the values, for the message).
*/}}
{{- define "defender-devops-operator.renders" -}}
{{- if or (eq .mode "alwaysRender") (.context.Capabilities.APIVersions.Has .api) }}
{{- "true" }}
{{- else if eq .mode "failIfMissing" }}
{{- fail (printf "%s.enabled is true, but the cluster has no %s: install it first, or set %s.renderMode to skipIfMissing" .value .api .value) }}
{{- end }}
{{- end }}

{{/* Public URL of the sign-in pages, always with TLS; empty if it cannot be derived from the values. */}}
{{- define "defender-devops-operator.signInUrl" -}}
{{- with .Values.signIn }}
{{- if .url }}
{{- trimSuffix "/" .url }}
{{- else if .ingress.enabled }}
{{- printf "https://%s" .ingress.host }}
{{- else if .httpRoute.enabled }}
{{- printf "https://%s" (first .httpRoute.hostnames) }}
{{- end }}
{{- end }}
{{- end }}
