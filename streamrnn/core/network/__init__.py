"""The recurrent network: weights, encoders and head."""
