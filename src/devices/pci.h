/* PCI functions: configuration space, base address registers (BARs), capabilities, INTx. A device embeds a
 * pci_function, describes itself, and is plugged into a host bridge (pci_host.h).
 *
 * What the guest may write of configuration space is kept apart from what the device says, so no saved state and no
 * guest can change what is fixed.
 *
 * Threads: one lock, the device's, held in each call except where it says otherwise; the bridge takes its own before
 * it.
 * Lifetime: pci_function_init(), BARs and capabilities, pci_host_plug(). The function outlives the bridge.
 * Source: PCI Local Bus Specification 3.0, chapter 6; PCI Code and ID Assignment Specification. */
#ifndef DEVICES_PCI_H
#define DEVICES_PCI_H

#include "bus/bus.h"
#include "bus/state.h"

enum {
    PCI_CONFIG_LENGTH = 256, /* bytes; the extended space behind is empty */
    PCI_BARS = 6,
};

enum pci_bar_kind {
    PCI_BAR_NONE, /* not there, or the upper half of the one before */
    PCI_BAR_32,
    PCI_BAR_64, /* prefetchable, takes two */
};

struct pci_host;
struct pci_function;
struct msix;

struct pci_ops {
    /* An access to the part that belongs to capabilities, `access->address` being the offset in configuration space.
     * Returns false to leave it to the bytes kept here. NULL: always. */
    bool (*config_access)(struct pci_function *function, struct bus_access *access);
};

struct pci_identity {
    uint16_t vendor, device;
    uint16_t subsystem_vendor, subsystem;
    uint32_t class_code; /* 24 bits: base class, subclass, interface */
    uint8_t revision;
};

struct pci_bar {
    struct bus_region region;
    enum pci_bar_kind kind;
    bool mapped; /* at `base` */
    uint64_t base;
};

struct pci_function {
    const struct pci_ops *ops;
    pthread_mutex_t *lock;
    struct pci_host *host; /* NULL until plugged */
    struct msix *msix;     /* NULL: none */
    uint8_t device;        /* its number on the bus */
    uint8_t room;          /* where the next capability goes */
    uint8_t last_next;     /* where the last capability's link is */
    bool asserts;          /* counted by the bridge as asserting its interrupt pin */
    bool intx;             /* the device wants its pin asserted */
    struct pci_bar bars[PCI_BARS];
    uint8_t fixed[PCI_CONFIG_LENGTH];    /* what the device says */
    uint8_t writable[PCI_CONFIG_LENGTH]; /* which bits the guest may write */
    uint8_t written[PCI_CONFIG_LENGTH];  /* what it has written */
};

/* Borrows `ops` (may be NULL) and the lock. The function uses pin INTA. */
void pci_function_init(struct pci_function *function, const struct pci_identity *identity,
                       const struct pci_ops *ops, pthread_mutex_t *lock);

/* A BAR that shows `region`, which is copied and whose length is a power of two, 16 or more. Its lock is the
 * function's, or none if the device says that it is safe by itself. */
void pci_bar_add(struct pci_function *function, unsigned index, enum pci_bar_kind kind,
                 const struct bus_region *region);

/* Adds a capability whose bytes after id and link are `body`; `writable` (may be NULL) has the bits that the guest may
 * write. Returns its offset in configuration space. */
unsigned pci_capability_add(struct pci_function *function, uint8_t id, const void *body, const void *writable,
                            unsigned length);

/* What a guest reads at an offset, which is aligned to `size` (1, 2, 4). */
uint32_t pci_config_get(const struct pci_function *function, unsigned offset, unsigned size);

/* May the device read and write memory and send messages? */
bool pci_is_master(const struct pci_function *function);

/* Asserts or releases the interrupt pin. Has no effect while MSI-X is on. */
void pci_intx_set(struct pci_function *function, bool level);

/* As after power-on. Takes the bridge's lock and the function's. */
void pci_function_reset(struct pci_function *function);

/* Derives what follows from a state that was loaded, while the machine is stopped; for the device's `loaded`. */
void pci_function_loaded(struct pci_function *function);

extern const struct state_table pci_function_state;

/* ---- For the host bridge and MSI-X ---- */

/* An access to configuration space. Returns true when BARs may have moved. */
bool pci_config_access(struct pci_function *function, struct bus_access *access);

/* Where the guest put a BAR; false when it does not decode. */
bool pci_bar_decodes(const struct pci_function *function, unsigned index, uint64_t *base);

/* Something that pin or messages depend on changed. */
void pci_interrupts_update(struct pci_function *function);

#endif
