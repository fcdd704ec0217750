/* Interrupts as devices see them: a line, and a message. A device does not know where either leads.
 *
 * Threads: any, with the device's lock held or not; who is at the other end calls no device back.
 * Lifetime: both are values, copied into the device; the controller outlives it. */
#ifndef BUS_IRQ_H
#define BUS_IRQ_H

#include <stdbool.h>
#include <stdint.h>

/* {0} is a line that leads nowhere. */
struct irq_line {
    void (*set)(void *controller, unsigned number, bool level); /* same level again: nothing happens */
    void *controller;
    unsigned number;
};

static inline void irq_set(const struct irq_line *line, bool level)
{
    if (line->set)
        line->set(line->controller, line->number, level);
}

/* Where message-signalled interrupts go; {0}: nowhere. */
struct msi_target {
    void (*send)(void *object, uint64_t address, uint32_t data);
    void *object;
};

static inline void msi_send(const struct msi_target *target, uint64_t address, uint32_t data)
{
    if (target->send)
        target->send(target->object, address, data);
}

#endif
