"""Networks that several systems share, frozen or trained on their own."""
