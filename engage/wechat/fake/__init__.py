"""A local stand-in for WeChat's server: real HTTP under the real paths, for tests and the demo.

It shares no code with the gateway, so that a mistake in one is not hidden by the same mistake in the other.
"""

from engage.wechat.fake.identifiers import openid_of, unionid_of
from engage.wechat.fake.server import FakeServer, create_fake
from engage.wechat.fake.world import DEFAULT_APPID, DEFAULT_SECRET

__all__ = ["DEFAULT_APPID", "DEFAULT_SECRET", "FakeServer", "create_fake", "openid_of", "unionid_of"]
