"""The report's figures: every function draws one from the rows, and says what it drew."""
