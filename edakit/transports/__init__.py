"""kombu transports that keep their promises."""
