/* PCI Express host bridge with memory-mapped configuration space (ECAM): "pci-host-ecam-generic" to Linux. One bus,
 * number 0, with 32 devices of one function; the guest places their BARs within two windows, in which addresses are
 * those of the guest's physical memory. Four interrupt lines, swizzled by device number.
 *
 * Threads: one lock around configuration, taken before a function's. Lifetime: pci_host_init() ... pci_host_release(),
 * after the last access and before functions and bus go.
 * Source: PCI Express Base Specification 5.0, section 7.2.2 (ECAM); PCI-to-PCI Bridge Architecture Specification 1.2,
 * section 9.1 (swizzle); Linux, Documentation/devicetree/bindings/pci/host-generic-pci.yaml. */
#ifndef DEVICES_PCI_HOST_H
#define DEVICES_PCI_HOST_H

#include "bus/bus.h"
#include "bus/irq.h"
#include "devices/pci.h"

enum {
    PCI_DEVICES = 32,
    PCI_PINS = 4,
};

#define PCI_ECAM_LENGTH ((uint64_t)PCI_DEVICES * 8 * 4096)

struct pci_window {
    uint64_t base, length; /* bytes */
};

struct pci_host_config {
    struct bus *bus;                 /* borrowed */
    struct irq_line lines[PCI_PINS]; /* device D's pin P (0 is INTA) is lines[(D + P) % 4] */
    struct msi_target msi;
    struct pci_window low, high; /* below 4 GiB, for all BARs; anywhere, for 64-bit ones */
};

struct pci_host {
    struct bus_region ecam; /* for the board to map */
    struct pci_host_config config;
    pthread_mutex_t lock;
    struct pci_function *functions[PCI_DEVICES]; /* NULL: none there */
    struct bus_region empty_low, empty_high;     /* what is seen of the windows between BARs */
    pthread_mutex_t pin_lock;                    /* taken with a function's lock held */
    unsigned asserting[PCI_PINS];                /* how many functions assert each line */
};

/* Shows the windows on the bus. */
int pci_host_init(struct pci_host *host, const struct pci_host_config *config, struct guise_error *err);
void pci_host_release(struct pci_host *host);

/* Plugs a function, before the guest runs. Borrows it. GUISE_E_CONFIG when the number is taken or there is none such.
 */
int pci_host_plug(struct pci_host *host, struct pci_function *function, unsigned device,
                  struct guise_error *err);

/* ---- For functions ---- */

/* Maps what decodes and unmaps what does not. With the bridge's lock held, or while the machine is stopped. */
void pci_host_map_bars(struct pci_host *host);

/* One function more, or fewer, asserts its pin INTA. */
void pci_host_assert(struct pci_host *host, unsigned device, bool level);

#endif
