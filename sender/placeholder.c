typedef int sender_room; /* replaced by the room's first source */
