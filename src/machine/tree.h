/* The device tree: what the board tells the guest of itself.
 *
 * Threads: none. Lifetime: none; a tree is bytes.
 * Source: Devicetree Specification 0.4; Linux, Documentation/devicetree/bindings: riscv/{cpus,extensions}.yaml,
 * interrupt-controller/sifive,plic-1.0.0.yaml, timer/sifive,clint.yaml, serial/8250.yaml, rtc/google,goldfish-rtc.yaml,
 * pci/host-generic-pci.yaml, virtio/mmio.yaml, power/reset/syscon-{poweroff,reboot}.yaml. */
#ifndef MACHINE_TREE_H
#define MACHINE_TREE_H

#include "machine/board.h"

/* What depends on what is loaded. */
struct tree_chosen {
    const char *append;             /* command line; NULL: none */
    uint64_t initrd, initrd_length; /* gpa and bytes; length 0: none */
};

/* Writes the tree to `to`, with room for `size` bytes in all, part of which is left free within the tree for firmware
 * to add to it. GUISE_E_CONFIG when it does not fit. */
int tree_write(void *to, unsigned size, const struct board *board, const struct tree_chosen *chosen,
               struct guise_error *err);

#endif
