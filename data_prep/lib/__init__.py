"""What the programs of `data_prep` share."""
