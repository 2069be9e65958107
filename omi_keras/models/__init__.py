"""The networks: Keras 3 functional models that any Keras backend runs."""
