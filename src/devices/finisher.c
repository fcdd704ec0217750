#include "devices/finisher.h"

static enum bus_result access(void *device, struct bus_access *a)
{
    struct finisher *f = device;
    if (!a->is_write || a->address)
        return BUS_OK;
    switch (a->value & 0xffff) {
    case FINISHER_POWER_OFF: f->request(f->machine, FINISHER_REQUEST_POWER_OFF, 0); break;
    case FINISHER_FAIL: f->request(f->machine, FINISHER_REQUEST_FAIL, a->value >> 16 & 0xffff); break;
    case FINISHER_REBOOT: f->request(f->machine, FINISHER_REQUEST_REBOOT, 0); break;
    default: break;
    }
    return BUS_OK;
}

static const struct bus_ops ops = {.access = access, .sizes = 2 | 4};

void finisher_init(struct finisher *f,
                   void (*request)(void *machine, enum finisher_request request, unsigned status),
                   void *machine)
{
    *f = (struct finisher){.request = request, .machine = machine};
    f->region = (struct bus_region){.name = "finisher", .length = FINISHER_LENGTH, .ops = &ops, .device = f};
}
