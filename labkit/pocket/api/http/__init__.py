"""The API over HTTP: what a URL means, who asks, in which form the answer goes out."""
