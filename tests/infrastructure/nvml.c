/* A driver of three GPUs: one that says all, one that supports little, one that has fallen off the bus. */
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, NOT_SUPPORTED = 3, DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15 };

typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned gpu, memory; } Utilization;

static int started;
static int counted;

static int all(const void *device) { return device == (void *)1 ? SUCCESS : NOT_SUPPORTED; }

int nvmlInitWithFlags(unsigned flags) {
    if (getenv("NVML_UNLOADED")) return DRIVER_NOT_LOADED;
    started += 1;
    return SUCCESS;
}
int nvmlShutdown(void) { started -= 1; return SUCCESS; }
const char *nvmlErrorString(int code) { return "Driver Not Loaded"; }

int nvmlDeviceGetCount_v2(unsigned *count) {
    /* The driver is taken away before the third question. */
    if (!started || ++counted == 3) return UNINITIALIZED;
    *count = 3;
    return SUCCESS;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    *device = (void *)(unsigned long)(index + 1);
    return index == 2 ? GPU_IS_LOST : SUCCESS;
}
int nvmlDeviceGetUUID(void *device, char *text, unsigned length) {
    strncpy(text, device == (void *)1 ? "GPU-8f6d" : "GPU-11aa", length);
    return SUCCESS;
}
int nvmlDeviceGetName(void *device, char *text, unsigned length) {
    strncpy(text, "NVIDIA L4", length);
    return all(device);
}
int nvmlDeviceGetUtilizationRates(void *device, Utilization *rates) {
    rates->gpu = 37;
    rates->memory = 12;
    return all(device);
}
int nvmlDeviceGetMemoryInfo(void *device, Memory *memory) {
    memory->total = 24000000000ULL;
    memory->used = 6000000000ULL;
    memory->free = 18000000000ULL;
    return SUCCESS;
}
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *degrees) {
    *degrees = 61;
    return all(device);
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts) {
    *milliwatts = 71500;
    return all(device);
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules) {
    *millijoules = 5000 + 1500ULL * counted;
    return all(device);
}
int nvmlDeviceGetTotalEccErrors(void *device, int kind, int counter, unsigned long long *errors) {
    *errors = kind == 0 ? 8 : 1;
    return all(device);
}
