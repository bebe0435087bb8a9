"""What bots have on disk: folders of instances, keys in Hummingbot's form, shared strategies, archives.

What an instance gets and where it is mounted: hummingbot-api `services/docker_service.py`@ee7ce5c.
"""

from adapters.bot_files.conf import BrokerAddress, FieldsOf
from adapters.bot_files.folders import BotFolders
from adapters.bot_files.s3 import S3

__all__ = ["S3", "BotFolders", "BrokerAddress", "FieldsOf"]
