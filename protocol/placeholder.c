typedef int protocol_room; /* replaced by the room's first source */
