"""The base of every answer of the API."""

from pydantic import BaseModel, ConfigDict


class View(BaseModel):
    """A part of an answer. Readers ignore keys that they do not know."""

    model_config = ConfigDict(use_attribute_docstrings=True, frozen=True)
