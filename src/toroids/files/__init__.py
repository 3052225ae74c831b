"""Files: read where they are files, written whole or not at all, replaced only where ours."""
