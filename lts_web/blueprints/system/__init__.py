"""What LTS says about itself: plugins, help and the live poll."""
