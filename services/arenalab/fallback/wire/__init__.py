"""What providers speak: one adapter for each wire format, from and to the OpenAI API's terms."""
