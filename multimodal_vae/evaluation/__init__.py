"""Metrics of generated samples: functions of tensors, independent of the model that generated them."""
