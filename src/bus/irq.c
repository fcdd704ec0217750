#include "bus/irq.h"

static void send_on_bus(void *bus, uint64_t address, uint32_t data)
{
    bus_write(bus, address, sizeof(data), data);
}

struct msi_target msi_to_bus(struct bus *bus)
{
    return (struct msi_target){.send = send_on_bus, .object = bus};
}
