typedef int filter_room; /* replaced by the room's first source */
