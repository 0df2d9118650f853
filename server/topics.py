"""What help may be about: codes; the words are the apps'."""

from __future__ import annotations

TOPICS: tuple[str, ...] = (
    "reading",
    "mail_and_documents",
    "screens_and_devices",
    "kitchen",
    "shopping",
    "clothes_and_colours",
    "finding_something",
    "getting_around",
    "medicine",
    "other",
)
