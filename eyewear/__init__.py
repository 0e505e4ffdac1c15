"Glasses, sunglasses, a VR headset or none: six lessons and an app"
from importlib.metadata import version
__version__ = version("eyewear")
