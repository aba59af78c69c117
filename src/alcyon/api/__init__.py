"""HTTP and WebSocket: shows, collects, asks; holds no thinking."""
