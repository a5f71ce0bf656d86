"""The statements of the store and what they mean, common to all databases."""
