"""One model over everything that is free for this user, which goes on where a service fails."""
