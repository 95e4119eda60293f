"""The dataset that ships with ArenaLab: questions about running ArenaLab, and demo questions."""
