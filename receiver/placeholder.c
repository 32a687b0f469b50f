typedef int receiver_room; /* replaced by the room's first source */
