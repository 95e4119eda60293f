"""What is known of the recall of approximate searches."""
