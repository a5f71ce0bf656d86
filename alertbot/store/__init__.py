"""What is stored: the roles of a store, and the values that go in and out."""
