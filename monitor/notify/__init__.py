"""Messages of incidents to chats and mail."""
