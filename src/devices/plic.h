/* RISC-V Platform-Level Interrupt Controller with level-triggered gateways.
 *
 * Threads: plic_line()'s lines are set from any thread; one lock. Lifetime: plic_init() ... plic_release().
 * Source: RISC-V Platform-Level Interrupt Controller Specification 1.0.0. */
#ifndef DEVICES_PLIC_H
#define DEVICES_PLIC_H

#include "bus/bus.h"
#include "bus/irq.h"
#include "bus/state.h"

enum {
    PLIC_SOURCES = 96, /* 0 is none, so 95 devices */
    PLIC_WORDS = PLIC_SOURCES / 32,
    PLIC_MAX_CONTEXTS = 128,
    PLIC_MAX_PRIORITY = 7,
};

#define PLIC_LENGTH(contexts) (0x200000 + (uint64_t)(contexts)*0x1000)

/* One privilege mode of one hart. */
struct plic_context {
    struct irq_line line;
    uint32_t enabled[PLIC_WORDS];
    uint32_t threshold;
};

struct plic {
    struct bus_region region; /* for the board to map */
    pthread_mutex_t lock;
    unsigned count; /* contexts in use */
    uint32_t priority[PLIC_SOURCES];
    uint32_t level[PLIC_WORDS];   /* what the devices' lines say */
    uint32_t pending[PLIC_WORDS]; /* requests that a gateway let through, until they are claimed */
    uint32_t claimed[PLIC_WORDS]; /* until completion the gateway lets no other through */
    struct plic_context contexts[PLIC_MAX_CONTEXTS];
};

/* Copies the lines, one for each context, at most PLIC_MAX_CONTEXTS. */
void plic_init(struct plic *plic, unsigned count, const struct irq_line *lines);
void plic_release(struct plic *plic);

/* Devices keep their lines as they are: what they still ask for is pending again. */
void plic_reset(struct plic *plic);

/* The line of a source, 1 to PLIC_SOURCES - 1, for the board to hand to a device. */
struct irq_line plic_line(struct plic *plic, unsigned source);

extern const struct state_table plic_state, plic_context_state;

#endif
