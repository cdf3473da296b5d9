{{/* The names, labels and images of the release. */}}

{{- define "mapreduce-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "mapreduce-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
The name of what belongs to no namespace. An operator of some namespaces may have a namesake in another one; of those
that look after all namespaces there is one.
*/}}
{{- define "mapreduce-operator.clusterName" -}}
{{- if .Values.watchNamespaces -}}
{{- printf "%s-%s" (include "mapreduce-operator.fullname" .) .Release.Namespace -}}
{{- else -}}
{{- include "mapreduce-operator.fullname" . -}}
{{- end -}}
{{- end -}}

{{- define "mapreduce-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "mapreduce-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* By this the operator is found, whatever the release is called: by jobs' NetworkPolicies and by `mr`. */}}
{{- define "mapreduce-operator.findLabels" -}}
mapreduce.dev/component: operator
{{- end -}}

{{- define "mapreduce-operator.labels" -}}
{{ include "mapreduce-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: mapreduce
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "mapreduce-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "mapreduce-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* An image by its digest, else by its tag, else by the chart's appVersion: (dict "image" IMAGE "root" $) */}}
{{- define "mapreduce-operator.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* Of every pod and container of the release: the restricted Pod Security standard. */}}
{{- define "mapreduce-operator.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10000
fsGroup: 10000
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "mapreduce-operator.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
