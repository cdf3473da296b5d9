"""The coordinator: a library with several hosts (a pod, `mr run`, `mr coordinator`, the scenario tests).

`shell` is the order in which things happen, `service` what may be asked, `background` its own work, `http` its edge;
`publish`, `plans`, `store`, `outputs`, `recovery`, `probe` are its files. It never imports user code and knows no
Kubernetes.
"""
