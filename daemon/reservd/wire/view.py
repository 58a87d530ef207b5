"""The base of every answer of the API."""

from pydantic import BaseModel, ConfigDict


class View(BaseModel):
    """A part of an answer. A reader takes no offence at keys that it does not know yet."""

    model_config = ConfigDict(use_attribute_docstrings=True, frozen=True)
