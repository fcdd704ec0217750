/* The PCI transport of virtio: a function with capabilities, MSI-X with a vector for configuration and one for each
 * queue, and INTx for drivers without. No legacy interface.
 *
 * Threads: the function's lock is the device's, which a notification does not take. Lifetime: virtio_pci_init(),
 * pci_host_plug(). The device outlives it.
 * Source: Virtual I/O Device (VIRTIO) Version 1.2, section 4.1. */
#ifndef DEVICES_VIRTIO_PCI_H
#define DEVICES_VIRTIO_PCI_H

#include "devices/msix.h"
#include "devices/pci.h"
#include "devices/virtio/device.h"

struct virtio_pci {
    struct pci_function function; /* for the board to plug */
    struct virtio_device *device;
    uint16_t window; /* where the capability for accesses through configuration space is */

    uint16_t interrupts; /* ISR status */
    uint32_t offered_select, accept_select;
    uint16_t queue_select, config_vector;
    uint16_t vectors[VIRTIO_MAX_QUEUES];
    struct msix msix;
};

/* Borrows the device and attaches to it. */
void virtio_pci_init(struct virtio_pci *pci, struct virtio_device *device);

/* As after power-on. Takes the device's lock and the bridge's, and waits for the backend. */
void virtio_pci_reset(struct virtio_pci *pci);

extern const struct state_table virtio_pci_state;

#endif
