"""Sign-in against the real Firebase Auth emulator (`make test-firebase`; needs Node.js and npm)."""
