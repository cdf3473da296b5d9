"""The custom resource's definition, generated from the engine's model and the status model.

`flattening` turns types into a schema, `rules` holds what types alone cannot say, `resource` puts the object together;
`python -m mapreduce_operator.crd` prints it. Nothing else of the operator belongs here.
"""
