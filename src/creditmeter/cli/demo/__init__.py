"""`creditmeter demo`: the main job in one command, with nothing set up."""
