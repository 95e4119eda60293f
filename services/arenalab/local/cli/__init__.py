"""The commands of `arenalab`, one module for each thing that a person does."""
