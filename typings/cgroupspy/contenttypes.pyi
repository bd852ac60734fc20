class BaseContentType:
    @classmethod
    def from_string(cls, value: str) -> BaseContentType: ...

class DeviceAccess(BaseContentType):
    dev_type: str
    major: int | str
    minor: int | str
    @property
    def access_string(self) -> str: ...

class DeviceThrottle(BaseContentType):
    limit: int
    major: int | str
    minor: int | str
