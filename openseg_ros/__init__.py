"""Open-vocabulary segmentation for robots: from an image and a phrase to the mask of what was asked for."""

import pkgutil

# The compiled messages (openseg_ros.msg, .srv, .action) lie in the install prefix. When the source tree comes first on
# sys.path, this lets Python find them there all the same.
__path__ = pkgutil.extend_path(__path__, __name__)

__version__ = "0.1.0"
