"""What a study is: its configuration, and the plan of tasks that follows from it."""
