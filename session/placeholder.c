typedef int session_room; /* replaced by the room's first source */
