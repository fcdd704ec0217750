/* Interrupt files: what the messages to one privilege level of one hart leave behind. An IMSIC (devices/imsic.h) puts
 * them in, the hart takes them out with its CSRs, and the line tells the hart that there is something.
 *
 *   device ──msi_send()──> IMSIC ──interrupt_file_send()──> file ──irq_set()──> hart
 *                                                             └──_read(), _write(), _top() <── its CSRs
 *
 * Identity 0 is none; lower ones go first.
 *
 * Threads: interrupt_file_send() any; the rest the hart's own. One lock, which is taken behind all those of devices and
 * before the hart's. Lifetime: interrupt_file_init() ... interrupt_file_release().
 * Source: The RISC-V Advanced Interrupt Architecture, version 1.0, chapter "Incoming MSI Controller (IMSIC)". */
#ifndef BUS_INTERRUPT_FILE_H
#define BUS_INTERRUPT_FILE_H

#include "bus/irq.h"
#include "bus/state.h"

#include <pthread.h>

enum {
    INTERRUPT_FILE_IDENTITIES = 256, /* with 0 */
    INTERRUPT_FILE_WORDS = INTERRUPT_FILE_IDENTITIES / 64,
    INTERRUPT_FILE_MAX_THRESHOLD = INTERRUPT_FILE_IDENTITIES - 1,
};

/* Registers, as the hart's CSRs select them; of eip and eie those with even numbers, 64 bits each. */
enum {
    INTERRUPT_FILE_DELIVERY = 0x70,
    INTERRUPT_FILE_THRESHOLD = 0x72,
    INTERRUPT_FILE_PENDING = 0x80,
    INTERRUPT_FILE_ENABLED = 0xc0,
    INTERRUPT_FILE_END = 0x100,
};

struct interrupt_file {
    pthread_mutex_t lock;
    struct irq_line line; /* the hart's external interrupt */
    bool signalled;       /* what the line says */
    bool delivery;        /* eidelivery */
    uint32_t threshold;   /* eithreshold; 0: none */
    uint64_t pending[INTERRUPT_FILE_WORDS], enabled[INTERRUPT_FILE_WORDS];
};

/* Nothing is pending, enabled or delivered. */
void interrupt_file_init(struct interrupt_file *file, struct irq_line line);
void interrupt_file_release(struct interrupt_file *file);

/* Makes an identity pending. Without effect for one that is not there. */
void interrupt_file_send(struct interrupt_file *file, uint32_t identity);

/* The first identity that is pending, enabled and before the threshold; 0: none. */
unsigned interrupt_file_top(struct interrupt_file *file);

/* The register's value; 0 where there is none. */
uint64_t interrupt_file_read(struct interrupt_file *file, unsigned number);

/* Writes the bits of `touched`; what arrives meanwhile in the others is kept. */
void interrupt_file_write(struct interrupt_file *file, unsigned number, uint64_t value, uint64_t touched);

/* Takes an identity back: it is not pending any more. */
void interrupt_file_clear(struct interrupt_file *file, unsigned identity);

extern const struct state_table interrupt_file_state;

/* For its owner's table: the line again, after the file was loaded. */
void interrupt_file_loaded(struct interrupt_file *file);

#endif
