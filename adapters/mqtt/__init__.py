"""The line to the bots, over an MQTT broker."""

from adapters.mqtt.line import MqttLine

__all__ = ["MqttLine"]
