"""What the stand-in answers: as WeChat does, and to whoever directs it."""
