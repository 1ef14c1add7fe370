package ecrscan

// Sessions returns the number of sessions that a client keeps.
func Sessions(c *Client) int { return len(c.roles.sessions) }
