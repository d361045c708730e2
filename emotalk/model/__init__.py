"""The EmoTalk network: released architecture, released parameter names."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emotalk.model.network import EmoTalk
    from emotalk.model.weights import load_weights

__all__ = ["EmoTalk", "load_weights"]


def __getattr__(name: str) -> Any:
    """Import the network on first access, because importing torch takes seconds."""
    if name == "EmoTalk":
        from emotalk.model.network import EmoTalk

        return EmoTalk
    if name == "load_weights":
        from emotalk.model.weights import load_weights

        return load_weights
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
