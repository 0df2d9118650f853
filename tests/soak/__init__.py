"""Many calls for a long time, with connections cut and nodes replaced: nothing goes wrong, and nothing is left over."""
