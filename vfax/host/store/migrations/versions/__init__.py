"""One file for each step of the schema. A file that was in a release is never changed again."""
