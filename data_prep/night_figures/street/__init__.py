"""The second scene set, `street`: everything about a clip is drawn at random but what its class says."""

from .data_set import VERSION, film, plan_street, write_street

__all__ = ["VERSION", "film", "plan_street", "write_street"]
