"""Prediction monitoring: watch what is asked and what is answered, not only the machines."""
