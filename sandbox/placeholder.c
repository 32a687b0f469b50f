typedef int sandbox_room; /* replaced by the room's first source */
