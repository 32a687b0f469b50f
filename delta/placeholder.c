typedef int delta_room; /* replaced by the room's first source */
