/* SiFive's test finisher, a "syscon" to Linux: the register by which a guest ends or restarts its machine.
 *
 * Threads: safe by itself, for it has no state. Lifetime: finisher_init(); nothing is to be released.
 * Source: SiFive FU540 test finisher as described by Linux, Documentation/devicetree/bindings/{riscv/sifive,test,power/
 * reset/syscon-poweroff,power/reset/syscon-reboot}.yaml. */
#ifndef DEVICES_FINISHER_H
#define DEVICES_FINISHER_H

#include "bus/bus.h"

#define FINISHER_LENGTH    0x1000
#define FINISHER_POWER_OFF 0x5555 /* what the guest writes to offset 0; a device tree says so */
#define FINISHER_FAIL      0x3333 /* with an exit status of 16 bits above */
#define FINISHER_REBOOT    0x7777

enum finisher_request { FINISHER_REQUEST_POWER_OFF, FINISHER_REQUEST_FAIL, FINISHER_REQUEST_REBOOT };

struct finisher {
    struct bus_region region; /* for the board to map */

    /* Called on a hart's thread, which is then to be stopped. `status` is what the guest failed with. */
    void (*request)(void *machine, enum finisher_request request, unsigned status);
    void *machine;
};

void finisher_init(struct finisher *finisher,
                   void (*request)(void *machine, enum finisher_request request, unsigned status),
                   void *machine);

#endif
