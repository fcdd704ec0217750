/* Where things are in a machine's address space, and which interrupts they have: as in QEMU's "virt" machine, so that
 * what runs on that one runs here.
 *
 * Threads, lifetime: constants. */
#ifndef MACHINE_LAYOUT_H
#define MACHINE_LAYOUT_H

#include <stdint.h>

#define LAYOUT_FINISHER    UINT64_C(0x00100000)
#define LAYOUT_RTC         UINT64_C(0x00101000)
#define LAYOUT_MSWI        UINT64_C(0x02000000) /* ACLINT, for firmware of the guest's own */
#define LAYOUT_MTIMER      UINT64_C(0x02004000)
#define LAYOUT_PLIC        UINT64_C(0x0c000000)
#define LAYOUT_APLIC_M     UINT64_C(0x0c000000) /* in the PLIC's place */
#define LAYOUT_APLIC_S     UINT64_C(0x0d000000)
#define LAYOUT_UART        UINT64_C(0x10000000)
#define LAYOUT_VIRTIO      UINT64_C(0x10001000) /* slots of the MMIO transport, one after the other */
#define LAYOUT_IMSIC_M     UINT64_C(0x24000000)
#define LAYOUT_IMSIC_S     UINT64_C(0x28000000)
#define LAYOUT_ECAM        UINT64_C(0x30000000)
#define LAYOUT_PCI_LOW     UINT64_C(0x40000000) /* window for BARs below 4 GiB, up to RAM */
#define LAYOUT_RAM         UINT64_C(0x80000000)
#define LAYOUT_PCI_HIGH    UINT64_C(0x400000000) /* window for 64-bit BARs, or behind RAM that reaches as far */
#define LAYOUT_HIGH_LENGTH UINT64_C(0x400000000)

enum {
    LAYOUT_VIRTIO_SLOTS = 8,
    LAYOUT_MAX_HARTS = 64,
};

/* Sources of the PLIC or APLIC. */
enum {
    LAYOUT_IRQ_VIRTIO = 1, /* and those behind it */
    LAYOUT_IRQ_UART = 10,
    LAYOUT_IRQ_RTC = 11,
    LAYOUT_IRQ_PCI = 32, /* INTA to INTD */
};

#endif
