"""What every role tells about itself: metrics, logs, health."""
