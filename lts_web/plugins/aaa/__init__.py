"""The AAA family: who a person is, what they may do, and the record of it."""
