"""What a group's notes say besides the sizes of the inputs for which it holds."""


def beyond_sizes(group):
    return tuple(note for note in group.notes if not note.startswith("holds for inputs"))
