"""The one image that every service of every stack runs from: built on first use, found by content.

Options, all from the environment: `LAB_BASE_IMAGE` (another Debian 13 base), `LAB_EXTRA_CA` (a PEM
file of authorities to trust besides Debian's, for networks that look into TLS),
`LAB_BUILD_NETWORK` (`host` where the engine's own network leads nowhere) and the usual
`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`.
"""

from lab_services.stack.image.build import REPOSITORY, ImageBuildFailed, ensure, name
from lab_services.stack.image.context import Options

__all__ = ["REPOSITORY", "ImageBuildFailed", "Options", "ensure", "name"]
