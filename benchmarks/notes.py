"""What stands in the way of rows that miss their target, by problem name. Written from measurements, by hand."""

NOTES: dict[str, str] = {}
