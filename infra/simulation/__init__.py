"""`eyeline simulate`: days of requests and volunteers on a virtual clock, on the very code of `matching`."""
