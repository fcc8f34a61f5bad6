from . import payloads as payloads
