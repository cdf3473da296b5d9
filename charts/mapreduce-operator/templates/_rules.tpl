{{/*
What the operator may do: the same as operator/mapreduce_operator/rbac.py says, which a test compares. No wildcard, no
listing of Secrets, no pods/exec.
*/}}

{{- define "mapreduce-operator.jobRules" -}}
- apiGroups: [mapreduce.dev]
  resources: [mapreducejobs]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [mapreduce.dev]
  resources: [mapreducejobs/status]
  verbs: [patch]
- apiGroups: [mapreduce.dev]
  resources: [mapreducejobs/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [configmaps, secrets, services, persistentvolumeclaims]
  verbs: [get, create]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, delete]
- apiGroups: [""]
  resources: [pods/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [events]
  verbs: [list, create]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, create]
{{- end -}}

{{- define "mapreduce-operator.nodeRules" -}}
- apiGroups: [""]
  resources: [nodes]
  verbs: [get]
{{- end -}}

{{- define "mapreduce-operator.leaderRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update]
{{- end -}}
