"""What can be wrong with the machine or with what the user named. Each message is a sentence for that user."""


class WorldError(Exception):
    """Anything below."""


class GraphicsError(WorldError):
    """No way to draw off screen was found on this machine."""


class PictureFolderError(WorldError):
    """A folder of pictures, or one picture in it, cannot be used."""


class ScanError(WorldError):
    """A folder of scanned objects, or one file in it, cannot be used."""
