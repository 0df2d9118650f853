"""Wakes browsers through their push services: RFC 8030, encrypted after RFC 8291, signed after RFC 8292 (VAPID)."""
