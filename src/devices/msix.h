/* MSI-X: the table of messages and their pending bits, in a BAR of their own, and the capability.
 *
 * Threads: the function's lock is held in each call. Lifetime: embedded in the device beside its function.
 * Source: PCI Local Bus Specification 3.0, section 6.8.2. */
#ifndef DEVICES_MSIX_H
#define DEVICES_MSIX_H

#include "devices/pci.h"

enum { MSIX_MAX_VECTORS = 128 };

struct msix_vector {
    uint64_t address;
    uint32_t data;
    bool masked, pending;
};

struct msix {
    struct pci_function *function;
    unsigned count;      /* vectors */
    unsigned capability; /* offset in configuration space */
    struct msix_vector vectors[MSIX_MAX_VECTORS];
};

/* Adds BAR `bar`, 4 KiB, and the capability to the function, which it borrows. */
void msix_init(struct msix *msix, struct pci_function *function, unsigned bar, unsigned count);
void msix_reset(struct msix *msix);

/* Has the guest switched MSI-X on? If not, the device uses its pin. */
bool msix_enabled(const struct msix *msix);

/* Sends a vector's message, at once or when it is unmasked. Without effect while MSI-X is off, or for no vector. */
void msix_notify(struct msix *msix, unsigned vector);

/* Sends what waited, when configuration has changed. */
void msix_update(struct msix *msix);

extern const struct state_table msix_state, msix_vector_state;

#endif
