"""Wakes devices through Firebase Cloud Messaging: firebase-admin's messages over a transport of our own."""
