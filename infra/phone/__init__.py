"""The server's own phone: a client of the contract with the apps, and WebRTC (aiortc) for calls without a browser."""
