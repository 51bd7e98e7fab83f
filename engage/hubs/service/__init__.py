"""Use cases of hubs: editing by staff, import of a customer's list, the invented hubs of the demo."""

from engage.hubs.service.demo import import_demo_hubs
from engage.hubs.service.editing import create_hub, edit_hub
from engage.hubs.service.imports import import_hub_kinds, import_hubs

__all__ = ["create_hub", "edit_hub", "import_demo_hubs", "import_hub_kinds", "import_hubs"]
