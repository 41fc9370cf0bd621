"""GPUs of NVIDIA, through NVML: the driver's own library, and `nvidia-ml-py`, which comes with the extra `gpu`.

All that the container sees; NVML knows nothing of CUDA_VISIBLE_DEVICES. What a GPU does not support, or does not say
now, is NaN: utilization of one that is divided (MIG), errors of memory that does not correct any.
"""

from collections.abc import Callable
from types import ModuleType

from sidecar.infrastructure.readings import NAN, Gpu

MAX_GPUS = 16
RETRY_S = 30.0
"""Between two attempts to reach the driver: it may be loaded, or come back, later."""


class Gpus:
    """Reads all GPUs; not for several threads at once.

    Attributes:
        problem: What NVML said when it last failed; empty where it works, and where there is none.
    """

    def __init__(self) -> None:
        self.problem = ""
        self._nvml: ModuleType | None = None
        self._next_s = -float("inf")

    def read(self, now_s: float) -> list[Gpu]:
        """All there are; none without NVML."""
        nvml = self._reached(now_s)
        if nvml is None:
            return []
        try:
            count = min(nvml.nvmlDeviceGetCount(), MAX_GPUS)
        except nvml.NVMLError as error:
            self.problem = str(error)
            self._next_s = now_s + RETRY_S
            self.close()
            return []
        return [gpu for index in range(count) if (gpu := _gpu(nvml, index)) is not None]

    def close(self) -> None:
        """Let go of the driver. A later `read` reaches for it again."""
        nvml, self._nvml = self._nvml, None
        if nvml is not None:
            _asked(nvml, "Shutdown")

    def _reached(self, now_s: float) -> ModuleType | None:
        if self._nvml is not None or now_s < self._next_s:
            return self._nvml
        self._next_s = now_s + RETRY_S
        self.problem = ""
        try:
            import pynvml
        except ModuleNotFoundError:
            self._next_s = float("inf")
            return None
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError_LibraryNotFound:
            return None
        except pynvml.NVMLError as error:
            self.problem = str(error)
            return None
        self._nvml = pynvml
        return self._nvml


def _gpu(nvml: ModuleType, index: int) -> Gpu | None:
    """None for one that may not be looked at, or has fallen off the bus."""
    handle = _asked(nvml, "DeviceGetHandleByIndex", index)
    if handle is None:
        return None
    memory = _asked(nvml, "DeviceGetMemoryInfo", handle)
    rates = _asked(nvml, "DeviceGetUtilizationRates", handle)
    return Gpu(
        id=_text(_asked(nvml, "DeviceGetUUID", handle)) or str(index),
        name=f"GPU {index}",
        model=_text(_asked(nvml, "DeviceGetName", handle)),
        utilization=_scaled(getattr(rates, "gpu", None), 100),
        used_bytes=_scaled(getattr(memory, "used", None)),
        limit_bytes=_scaled(getattr(memory, "total", None)),
        celsius=_celsius(nvml, handle),
        watts=_scaled(_asked(nvml, "DeviceGetPowerUsage", handle), 1000),
        energy_j=_scaled(_asked(nvml, "DeviceGetTotalEnergyConsumption", handle), 1000),
        corrected_errors=_errors(nvml, handle, nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED),
        uncorrected_errors=_errors(nvml, handle, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED),
    )


def _celsius(nvml: ModuleType, handle: object) -> float:
    # The latter takes the former's place; older drivers have only the former.
    for query in ("DeviceGetTemperature", "DeviceGetTemperatureV"):
        degrees = _asked(nvml, query, handle, nvml.NVML_TEMPERATURE_GPU)
        if degrees is not None:
            return _scaled(degrees)
    return NAN


def _errors(nvml: ModuleType, handle: object, kind: int) -> float:
    return _scaled(_asked(nvml, "DeviceGetTotalEccErrors", handle, kind, nvml.NVML_VOLATILE_ECC))


def _asked(nvml: ModuleType, query: str, *arguments: object) -> object | None:
    """What NVML answers; None where it does not, or where this release of it knows no such query."""
    ask: Callable[..., object] | None = getattr(nvml, f"nvml{query}", None)
    if ask is None:
        return None
    try:
        return ask(*arguments)
    except (nvml.NVMLError, UnicodeDecodeError):
        return None


def _scaled(value: object | None, divisor: float = 1.0) -> float:
    return float(value) / divisor if isinstance(value, int) else NAN


def _text(value: object | None) -> str:
    return value if isinstance(value, str) else ""
