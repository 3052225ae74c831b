"""The error landscape: profiles, barriers, flatness."""
