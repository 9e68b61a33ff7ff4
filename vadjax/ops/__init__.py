"""The operations that models and the loop are made of; each chooses its form for the device."""
