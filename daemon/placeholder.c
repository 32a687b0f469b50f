typedef int daemon_room; /* replaced by the room's first source */
