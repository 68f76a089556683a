{{/*
Makes the templates independent of null values: `helm` removes a key whose value is null, be it a single value or a whole
block. Blocks become empty, which disables them, and values that an object cannot do without get their defaults. Every
template includes this first; running it again changes nothing.
*/}}
{{- define "defender-devops-operator.normalize" -}}
{{- range $path := list "global" "commonLabels" "image" "strategy" "crds" "rbac" "serviceAccount" "serviceAccount.annotations"
  "serviceAccount.labels" "workloadIdentity" "signIn" "signIn.service" "signIn.ingress" "signIn.ingress.tls" "signIn.httpRoute"
  "settings" "caBundle" "metrics" "metrics.service" "metrics.serviceMonitor" "metrics.podMonitor" "metrics.prometheusRule"
  "metrics.prometheusRule.alertLabels" "metrics.dashboard" "openshift" "podSecurityContext" "securityContext" "resources"
  "livenessProbe" "readinessProbe" "startupProbe" "podLabels" "nodeSelector" "podDisruptionBudget" "networkPolicy" }}
{{- $parent := $.Values }}
{{- range splitList "." $path | initial }}
{{- $parent = get $parent . }}
{{- end }}
{{- $key := splitList "." $path | last }}
{{- if not (kindIs "map" (get $parent $key)) }}
{{- $_ := set $parent $key dict }}
{{- end }}
{{- end }}
{{- $defaults := dict "replicaCount" 1 "image.repository" $.Chart.Name "image.pullPolicy" "IfNotPresent" "metrics.port" 8080
  "signIn.service.type" "ClusterIP" "signIn.service.port" 80 "workloadIdentity.webhook" true "terminationGracePeriodSeconds" 30
  "metrics.serviceMonitor.renderMode" "failIfMissing" "metrics.podMonitor.renderMode" "failIfMissing"
  "metrics.prometheusRule.renderMode" "failIfMissing" "metrics.prometheusRule.disabled" list "networkPolicy.egressPorts" (list 443 6443) }}
{{- range $path, $default := $defaults }}
{{- $parent := $.Values }}
{{- range splitList "." $path | initial }}
{{- $parent = get $parent . }}
{{- end }}
{{- $key := splitList "." $path | last }}
{{- if has (kindOf (get $parent $key)) (list "invalid" "string") }}
{{- $_ := set $parent $key (default $default (get $parent $key)) }}
{{- end }}
{{- end }}
{{- end }}

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

{{/* Namespace of all namespaced objects of the release. */}}
{{- define "defender-devops-operator.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{/* Name of roles outside the release's namespace: two releases with the same name in two namespaces must not collide. */}}
{{- define "defender-devops-operator.scopedName" -}}
{{- printf "%s:%s" (include "defender-devops-operator.fullname" .) (include "defender-devops-operator.namespace" .) }}
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

{{/* Labels of an object: the chart's, over them those of global.commonLabels and commonLabels. */}}
{{- define "defender-devops-operator.labels" -}}
{{- include "defender-devops-operator.labelsWith" (list .) }}
{{- end }}

{{/*
The same, with further labels of this object. Arguments: a list of the context and maps, of which the first has precedence.
A key occurs once, whoever sets it: two equal keys are not valid YAML.
*/}}
{{- define "defender-devops-operator.labelsWith" -}}
{{- $context := first . }}
{{- $selector := include "defender-devops-operator.selectorLabels" $context | fromYaml }}
{{- $common := merge dict (deepCopy $context.Values.commonLabels) (default dict $context.Values.global.commonLabels) }}
{{- range $path, $labels := dict "commonLabels" $common "podLabels" $context.Values.podLabels }}
{{- range $key, $_ := $selector }}
{{- if hasKey $labels $key }}
{{- fail (printf "%s: %s selects the pods and cannot be set; use nameOverride or the name of the release" $path $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- $labels := dict }}
{{- range rest . }}
{{- $labels = merge $labels (deepCopy (default dict .)) }}
{{- end }}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" $context.Chart.Name $context.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" $context.Chart.AppVersion
  "app.kubernetes.io/part-of" "defender-devops-operator"
  "app.kubernetes.io/managed-by" $context.Release.Service }}
{{- range $key, $value := merge $labels $common $selector $own }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }}: {{ $value | quote }}
{{- end }}
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
{{- printf "https://%s" (required "signIn.ingress.host is required" .ingress.host) }}
{{- else if .httpRoute.enabled }}
{{- printf "https://%s" (first (required "signIn.httpRoute.hostnames is required" .httpRoute.hostnames)) }}
{{- end }}
{{- end }}
{{- end }}

{{/*
A security context without what the values do not set. An empty value counts as absent, because an umbrella chart cannot pass
null to a chart that it includes. On OpenShift the security context constraints choose user and group.
*/}}
{{- define "defender-devops-operator.securityContext" -}}
{{- $context := index . 0 }}
{{- $result := dict }}
{{- range $key, $value := index . 1 }}
{{- $chosen_by_openshift := and $context.Values.openshift.enabled (has $key (list "runAsUser" "runAsGroup" "fsGroup")) }}
{{- if not (or $chosen_by_openshift (kindIs "invalid" $value) (has (toJson $value) (list "\"\"" "{}"))) }}
{{- $_ := set $result $key $value }}
{{- end }}
{{- end }}
{{- toYaml $result }}
{{- end }}

{{/*
A list of the chart, and one of the values that takes precedence: an entry of the chart is omitted if the values have one with
the same key. Arguments: chart (YAML), values, key, path (in the values, for the message).
*/}}
{{- define "defender-devops-operator.mergedList" -}}
{{- $keys := list }}
{{- range .values }}
{{- $key := toString (get . $.key) }}
{{- if has $key $keys }}
{{- fail (printf "%s has two entries with %s %s" $.path $.key $key) }}
{{- end }}
{{- $keys = append $keys $key }}
{{- end }}
{{- $entries := list }}
{{- range fromYamlArray .chart }}
{{- if not (has (toString (get . $.key)) $keys) }}
{{- $entries = append $entries . }}
{{- end }}
{{- end }}
{{- toYaml (concat $entries (default list .values)) }}
{{- end }}
