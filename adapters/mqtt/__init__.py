"""The line to the bots, over an MQTT broker."""
