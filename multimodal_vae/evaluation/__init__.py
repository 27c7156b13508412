"""How good generated samples are: functions of arrays, which know nothing of the model that made them."""
