/* The board: harts, memory and devices of a "virt"-like RISC-V computer, and the wires between them.
 *
 * Threads: board_new() and board_free() while neither harts nor the event loop run; in between, each part as it says
 * itself.
 * Lifetime: what the configuration names outlives the board. A board is made for one run of the machine: what starts
 * anew is a new board on the same consoles, disks and networks. */
#ifndef MACHINE_BOARD_H
#define MACHINE_BOARD_H

#include "block/block.h"
#include "bus/bus.h"
#include "bus/clock.h"
#include "bus/gmem.h"
#include "console/console.h"
#include "cpu/riscv/system.h"
#include "devices/aclint.h"
#include "devices/aplic.h"
#include "devices/finisher.h"
#include "devices/imsic.h"
#include "devices/pci_host.h"
#include "devices/plic.h"
#include "devices/rtc.h"
#include "devices/uart.h"
#include "devices/virtio/block.h"
#include "devices/virtio/console.h"
#include "devices/virtio/entropy.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/net.h"
#include "devices/virtio/pci.h"
#include "host/loop.h"
#include "host/tasks.h"
#include "machine/layout.h"
#include "net/net.h"

enum { BOARD_MAX_DISKS = 4 };

/* How virtio devices are reached. */
enum board_transport { BOARD_PCI, BOARD_MMIO };

/* What interrupts harts from outside. */
enum board_interrupts {
    BOARD_PLIC,
    BOARD_APLIC, /* wired to harts */
    BOARD_IMSIC, /* messages; an APLIC makes them of what is wired */
};

struct board_config {
    uint64_t memory;     /* bytes, a multiple of GMEM_PAGE */
    unsigned harts;      /* 1 to LAYOUT_MAX_HARTS */
    uint64_t extensions; /* bit set of enum rv_ext that user code has */
    uint8_t satp_mode;   /* SATP_SV39 to SATP_SV57: the largest that the harts have; 0: SATP_SV39 */
    bool firmware;       /* harts have no M-mode */
    const struct engine_options *engine;
    enum board_transport transport;
    enum board_interrupts interrupts;
    struct console *serial;  /* of the UART */
    struct console *console; /* of a virtio console; NULL: none */
    struct block
        *disks[BOARD_MAX_DISKS]; /* in the order in which the guest finds them; NULL behind the last */
    struct net *net;             /* NULL: none */
    struct loop *loop;
    const struct system_ops *ops; /* the harts' */
    void (*request)(void *owner, enum finisher_request request, unsigned status);
    void *owner; /* of `ops` and `request` */
};

/* A virtio device's place: on PCI, or in a slot of the MMIO transport. */
struct board_port {
    union {
        struct virtio_pci pci;
        struct virtio_mmio mmio;
    };
};

struct board {
    struct board_config config;
    struct gmem memory;
    struct bus bus;
    struct clock clock;
    struct clock_ticks time;
    struct tasks tasks;
    struct system *system;
    unsigned wired; /* parts that are there */

    struct plic plic;               /* BOARD_PLIC */
    struct aplic aplic;             /* BOARD_APLIC, BOARD_IMSIC */
    struct imsic imsic[SYS_LEVELS]; /* BOARD_IMSIC; that of machine level without `firmware` alone */
    struct aclint aclint;
    struct uart uart;
    struct rtc rtc;
    struct finisher finisher;
    struct pci_host pci;
    struct pci_window pci_high;

    unsigned ports_used;
    struct board_port ports[LAYOUT_VIRTIO_SLOTS];
    unsigned disk_count;
    struct virtio_block disks[BOARD_MAX_DISKS];
    struct virtio_net net;
    struct virtio_console console;
    struct virtio_entropy entropy;
};

/* *out gets an owned board whose clock stands still. Copies the configuration. */
int board_new(struct board **out, const struct board_config *config, struct guise_error *err);
void board_free(struct board *board);

/* What its harts are. */
struct sys_config board_hart_config(const struct board_config *config);

/* ---- For its own files: board_interrupts.c ---- */

int board_add_interrupts(struct board *board, struct guise_error *err);
void board_remove_interrupts(struct board *board);

/* A hart's interrupt IRQ_... as a line. */
struct irq_line board_hart_line(const struct board *board, unsigned hart, unsigned irq);

/* For devices: the line of a source, LAYOUT_IRQ_..., and where messages go. */
struct irq_line board_line(struct board *board, unsigned source);
struct msi_target board_messages(struct board *board);

#endif
